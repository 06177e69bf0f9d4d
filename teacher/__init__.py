"""Frozen models that are distilled, one folder per family, behind `fada.family.Denoiser`."""
