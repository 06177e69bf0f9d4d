"""Metrics: arrays in, one number out. What cannot be measured raises ``NotMeasurable`` with the reason."""
