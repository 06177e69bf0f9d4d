"""What can be wrong with a model's folder."""

from __future__ import annotations


class ModelFolderError(ValueError):
    """A folder or file of weights that is damaged, or asks for what is not permitted; the message names it."""
