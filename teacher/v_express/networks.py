"""V-Express's networks by name."""

from __future__ import annotations

from fada.teacher.hallo.projections import FaceLocator
from fada.teacher.v_express.audio_projection import AudioResampler
from fada.teacher.v_express.model import VExpress
from fada.teacher.v_express.unets import VExpressDenoisingUNet, VExpressReferenceUNet

MODEL = VExpress
NETWORKS = {
    "reference_unet": VExpressReferenceUNet,
    "denoising_unet": VExpressDenoisingUNet,
    "audio_projection": AudioResampler,
    "keypoint_guider": FaceLocator,
}
