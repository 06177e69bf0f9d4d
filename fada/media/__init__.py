"""Reading and writing video, audio and pictures (PyAV and Pillow; no command-line tools needed)."""

from fada.media.error import MediaError

__all__ = ["MediaError"]
