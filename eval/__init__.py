"""What a model costs and how good it is: NFE, quality and latency, measured side by side.

Knows systems that turn a clip into frames, metrics and reports. Does not know recipes, checkpoints or how a
system is built: ``fada.jobs`` wires those.
"""
