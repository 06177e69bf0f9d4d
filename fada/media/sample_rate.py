"""The rate of sound everywhere in fada, but in the videos that are written with their own."""

SAMPLE_RATE = 16000
"""Samples per second: that of wav2vec2, of silero's and SyncNet's networks, and of the drawn world."""
