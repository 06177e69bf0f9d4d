"""The dual UNet of FADA: a reference net and a denoising net of Stable Diffusion 1.5's layout, at any size."""

from fada.teacher.dual_unet.audio_projection import AudioProjection
from fada.teacher.dual_unet.model import DualUNet
from fada.teacher.dual_unet.unets import Conditions, DenoisingUNet, ReferenceUNet

__all__ = ["AudioProjection", "Conditions", "DenoisingUNet", "DualUNet", "ReferenceUNet"]
