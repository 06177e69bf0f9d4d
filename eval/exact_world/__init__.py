"""A talking world whose teacher is a closed form, and small students that decide the paper's orders there.

What a distillation does is learned in minutes here, many seeds side by side, through the toolkit's own windows, forms,
solvers, guidance and mixed loss. Figures say something about the method, and nothing about faces.
"""
