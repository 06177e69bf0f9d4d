"""A run as a folder to share: whole, or as a difference, with its card."""
