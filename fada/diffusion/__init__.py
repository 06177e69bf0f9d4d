"""The mathematics of diffusion and of its distillation: tensors in, tensors out.

Noise paths, windows of time, the guidance ladder, solvers, the lambda/eta forms of a window, student sampling, and a
diffusers scheduler for it. Knows no network and no file, and of recipes what holds where they say nothing. Formulas:
FADA (eq. 2-9), PeRFlow (arXiv 2405.07510), DDIM (arXiv 2010.02502).
"""
