"""The run: the training loop, checkpoints, logs; knows steps and saving, not what is learned."""
