"""Intervals, and distances between sets."""
