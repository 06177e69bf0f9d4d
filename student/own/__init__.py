"""Distilling a model of your own: any denoiser of `fada.family.Denoiser`, without a recipe, a family or an avatar."""
