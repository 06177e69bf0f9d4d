"""A run: its folder, data, stages, phases, and how it is resumed and replayed."""
