"""What a training step, a pass and a clip cost, measured side by side in one process; no trained model is needed."""
