"""The families that the package brings; the line of a new one goes here."""

from __future__ import annotations

from fada.family import Family
from fada.teacher.dual_unet.family import DUAL_UNET
from fada.teacher.float.family import FLOAT
from fada.teacher.hallo.family import HALLO
from fada.teacher.v_express.family import V_EXPRESS

FAMILIES: tuple[Family, ...] = (DUAL_UNET, HALLO, V_EXPRESS, FLOAT)
