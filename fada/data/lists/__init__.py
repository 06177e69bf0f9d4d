"""Public lists of clips, and cutting those clips from local copies of the videos. Nothing is downloaded."""

from fada.data.lists.cut import CutReport, cut_list, read_identities
from fada.data.lists.entry import ClipList, DamagedEntry, ListedClip, ListError
from fada.data.lists.reading import read_list

__all__ = [
    "ClipList",
    "CutReport",
    "DamagedEntry",
    "ListError",
    "ListedClip",
    "cut_list",
    "read_identities",
    "read_list",
]
