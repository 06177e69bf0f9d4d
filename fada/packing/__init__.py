"""Clips to shards, and shards to shards with features, by any number of workers."""
