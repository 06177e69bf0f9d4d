"""Two benchmarks held against each other."""
