"""Sound to states."""
