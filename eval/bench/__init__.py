"""Systems measured on held-out clips, and what is kept of it."""
