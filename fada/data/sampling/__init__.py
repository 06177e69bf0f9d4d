"""Which samples a step has, and how they are read ahead."""
