"""FLOAT's own ablations in the drawn world."""
