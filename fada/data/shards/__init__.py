"""Sets of shards: format, index, table, random access."""
