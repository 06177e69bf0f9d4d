"""Nodes for ComfyUI: load an avatar, set its guidance scales and emotion, make a portrait speak.

A folder in ComfyUI's `custom_nodes` whose `__init__.py` is one line, `from fada.comfyui import *`, makes them known; so
does a link to this folder. They are of the classic kind, a dictionary of classes, which every version of ComfyUI knows
(docs/guides/comfyui.md).
"""

from fada.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
