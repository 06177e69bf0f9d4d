"""Public networks whose features the metrics compare, layer for layer, under the public names of their parameters.

Weights come from files that the user names (``fada.eval.instruments.weights``); read as tensors, nothing else.
"""
