"""The drawn world: procedural talking faces whose truth is known, the default data and the measuring instrument."""

from fada.data.world.draw import clip_key, make_clip
from fada.data.world.make import World, make_world
from fada.data.world.measure import measure_aperture

__all__ = ["World", "clip_key", "make_clip", "make_world", "measure_aperture"]
