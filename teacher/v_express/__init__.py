"""V-Express (arXiv 2406.02511): its released dual UNet as a frozen teacher, in the layout of its weights."""

from fada.teacher.v_express.attention import BranchWeights
from fada.teacher.v_express.audio_projection import AudioResampler, audio_windows
from fada.teacher.v_express.conditions import Conditions, VExpressInputs
from fada.teacher.v_express.keypoints import draw_keypoints, keypoint_guider
from fada.teacher.v_express.model import VExpress
from fada.teacher.v_express.unets import VExpressDenoisingUNet, VExpressReferenceUNet

__all__ = [
    "AudioResampler",
    "BranchWeights",
    "Conditions",
    "VExpress",
    "VExpressDenoisingUNet",
    "VExpressInputs",
    "VExpressReferenceUNet",
    "audio_windows",
    "draw_keypoints",
    "keypoint_guider",
]
