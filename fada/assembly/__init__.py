"""Recipe to objects: the only place that chooses classes."""
