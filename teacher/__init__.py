"""Frozen models that are distilled, one folder per family, behind `fada.protocols.Denoiser`."""
