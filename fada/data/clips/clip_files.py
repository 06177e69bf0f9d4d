"""Where the files of clips lie in a folder of clips: in it, or in sub-folders of it.

`fada data prepare` names clips SOURCE-DIGITS-NUMBER, by the hash of their source, and puts them into 256 sub-folders by
the first two digits: a folder of millions of files is slow to list and to copy. Earlier versions put them into the
folder itself, as the drawn world does; both may lie in one folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from fada.files.errors import FolderFault

_PREPARED = re.compile(r".*-([0-9a-f]{2})[0-9a-f]{6}-[0-9]{3,}", re.DOTALL)
_SUB_FOLDER = re.compile(r"[0-9a-f]{2}")


def sub_folder_of(key: str) -> str | None:
    """Name of the sub-folder for a clip of `fada data prepare`; None for others, which lie in the folder itself."""
    match = _PREPARED.fullmatch(key)
    return match[1] if match else None


def home_of(folder: str | Path, key: str) -> Path:
    """The folder for the files of a new clip."""
    return Path(folder, sub_folder_of(key) or "")


def clip_file(folder: str | Path, key: str, suffix: str) -> Path:
    """One of a clip's files, there or not: in its sub-folder, or beside the clip's record in the folder itself."""
    beside = Path(folder, f"{key}{suffix}")
    if sub_folder_of(key) is None or Path(folder, f"{key}.json").is_file():
        return beside
    return home_of(folder, key) / beside.name


def clip_folders(folder: Path) -> list[Path]:
    """The folder itself, and those of its sub-folders that are there; links lead elsewhere and are none."""
    with os.scandir(folder) as entries:
        named = [each for each in entries if _SUB_FOLDER.fullmatch(each.name)]
    return [folder, *sorted(Path(each.path) for each in named if each.is_dir(follow_symlinks=False))]


def complete_keys(folder: Path) -> list[str]:
    """Keys of the clips of which record and video are there, sorted."""
    whole, *subs = clip_folders(folder)
    keys = _keys_in(whole)
    for sub in subs:
        keys |= {key for key in _keys_in(sub) if sub_folder_of(key) == sub.name}
    return sorted(keys)


def _keys_in(folder: Path) -> set[str]:
    # The listing says what is a file: no other question for each of millions.
    with os.scandir(folder) as entries:
        names = {each.name for each in entries if each.name.endswith((".json", ".mp4")) and each.is_file()}
    return {name[:-5] for name in names if name.endswith(".json") and f"{name[:-5]}.mp4" in names}


def check_sub_folders(folder: Path) -> None:
    """Know that sub-folders can be made, and that nothing that is written into them lands elsewhere.

    Raises:
        FolderFault: naming a file or link that has a sub-folder's name.
    """
    with os.scandir(folder) as entries:
        named = [each for each in entries if _SUB_FOLDER.fullmatch(each.name)]
    wrong = [each for each in named if not each.is_dir(follow_symlinks=False)]
    if wrong:
        what = "a link, which may lead anywhere" if wrong[0].is_symlink() else "a file"
        raise FolderFault(
            f"{wrong[0].path}: is {what}, and clips belong into a folder of that name; move it away, or give another "
            "folder for the clips"
        )
