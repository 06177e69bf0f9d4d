"""Hallo (arXiv 2406.08801): its released dual UNet as a frozen teacher, in the layout of its weights."""

from fada.teacher.hallo.conditions import Conditions, HalloInputs
from fada.teacher.hallo.model import Hallo
from fada.teacher.hallo.projections import FaceLocator, FaceProjection
from fada.teacher.hallo.unets import HalloDenoisingUNet, HalloReferenceUNet

__all__ = [
    "Conditions",
    "FaceLocator",
    "FaceProjection",
    "Hallo",
    "HalloDenoisingUNet",
    "HalloInputs",
    "HalloReferenceUNet",
]
