"""What can be wrong with a place to write to, or a name."""

from __future__ import annotations


class NameFault(ValueError):
    """A name that cannot name a file or folder."""


class FolderFault(ValueError):
    """A folder that is not ours to write into, or that leads elsewhere."""


class FolderBusy(ValueError):
    """Another process is working in this folder."""
