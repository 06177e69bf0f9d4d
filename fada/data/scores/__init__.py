"""Scores of clips on five axes, and the sets A and B that thresholds make of them."""
