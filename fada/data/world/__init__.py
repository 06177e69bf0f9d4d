"""The drawn world: procedural talking faces whose truth is known, the default data and the measuring instrument."""

from fada.data.world.draw import clip_key, make_clip
from fada.data.world.flaws import FURTHER_KINDS, KINDS
from fada.data.world.make import World, make_world
from fada.data.world.measure import measure_aperture
from fada.data.world.measure_expression import ExpressionSeen, measure_expression
from fada.data.world.measure_head import HeadSeen, measure_head

FLAW_KINDS = KINDS + FURTHER_KINDS
"""Every flaw that can be drawn."""

__all__ = [
    "FLAW_KINDS",
    "ExpressionSeen",
    "HeadSeen",
    "World",
    "clip_key",
    "make_clip",
    "make_world",
    "measure_aperture",
    "measure_expression",
    "measure_head",
]
