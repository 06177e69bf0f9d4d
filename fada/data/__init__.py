"""Data: clips, shards, sound features, the drawn world, and what batches are made of."""
