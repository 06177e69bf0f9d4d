"""Nodes for ComfyUI: load an avatar, set its guidance scales and emotion, make a portrait speak.

`custom_nodes/fada/__init__.py` of ComfyUI is one line, `from fada.comfyui import *`; a link to this folder does too. They
are nodes of the classic kind, a dictionary of classes, which every version of ComfyUI knows (docs/guides/comfyui.md).
"""

from fada.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
