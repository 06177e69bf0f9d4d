"""Which list lies at a path."""

from __future__ import annotations

from pathlib import Path

from fada.data.lists.celebv_hq import read_celebv_hq
from fada.data.lists.entry import ClipList, ListError
from fada.data.lists.hdtf import TIMES, read_hdtf

_CELEBV_HQ_FILE = "celebvhq_info.json"


def read_list(path: Path) -> ClipList:
    """The list at a path: HDTF's folder of text files or CelebV-HQ's JSON, or the repository that holds either.

    Raises:
        ListError: neither is there, or it cannot be read.
    """
    if path.is_file() and path.suffix == ".json":
        return read_celebv_hq(path)
    for folder in (path, path / "HDTF_dataset"):
        if any(folder.glob(f"*{TIMES}")):
            return read_hdtf(folder)
    if (path / _CELEBV_HQ_FILE).is_file():
        return read_celebv_hq(path / _CELEBV_HQ_FILE)
    raise ListError(f"{path}: no list known here; give HDTF's folder HDTF_dataset, or CelebV-HQ's {_CELEBV_HQ_FILE}")
