"""The dual UNet of FADA: a reference net and a denoising net of Stable Diffusion 1.5's layout, at any size."""
