"""What is known of sources that are done: a JSON each under ``.prepare/`` in the folder of clips.

The folder and its sub-folders are listed once, so that resuming takes as long for the last source as for the first.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from fada.data.clips.clip_files import check_sub_folders, clip_file, clip_folders
from fada.data.prepare.report import SourceRecord
from fada.data.prepare.source import clip_key
from fada.files.whole import clear_leftovers, write_json
from fada.media.error import MediaError

_SUFFIXES = (".mp4", ".wav", ".json", ".landmarks.safetensors")
_ANY = "|".join(map(re.escape, _SUFFIXES))
# KEY.mp4 and its siblings, and what an earlier version left of them when killed: .KEY.abcd.mp4.partial. All of it only
# prepare writes; nothing else is ever removed.
_NAME = re.compile(
    r"\.?(?P<key>[A-Za-z0-9_-]*-(?P<digits>[0-9a-f]{8})-[0-9]{3,})"
    rf"(?:(?:{_ANY})|(?:\.[a-z0-9_]{{4,8}})?(?:{_ANY})(?:\.[0-9]+)?\.partial)"
)


class Records:
    """Finished sources of one folder of clips."""

    def __init__(self, out: Path) -> None:
        """Open the folder, and make it where it is missing.

        Raises:
            MediaError: it cannot be made or written.
        """
        self._out, self._folder = out, out / ".prepare"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for folder in (out, self._folder):
                with tempfile.TemporaryFile(dir=folder):
                    pass
        except OSError as error:
            raise MediaError(
                f"{out}: clips cannot be written there ({error.strerror}); choose another folder"
            ) from error
        check_sub_folders(out)
        # By the eight digits of a source, its clips' files and where they lie.
        self._by_digits: dict[str, list[tuple[str, Path]]] = {}
        self._claims: dict[str, str] = {}
        for place in clip_folders(out):
            clear_leftovers(place)
            for name in os.listdir(place):
                if match := _NAME.fullmatch(name):
                    self._by_digits.setdefault(match["digits"], []).append((name, place))
        clear_leftovers(self._folder)

    def finished(self, sha256: str, stem: str, fingerprints: Collection[str]) -> SourceRecord | None:
        """What an earlier call left of a source, if it still holds; otherwise its remains are removed."""
        path = self._path(sha256)
        try:
            record = SourceRecord.from_json(json.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            record = None
        if record is not None and record.settings in fingerprints and self._has_clips(record):
            return record
        path.unlink(missing_ok=True)
        self._remove_remains(sha256, stem)
        return None

    def claim_keys(self, sha256: str, stem: str) -> bool:
        """Whether a source's clips may have their names: not where another source of like name and digits has them."""
        own = clip_key(stem, sha256, 0).removesuffix("000")
        keys = {key for key, _ in self._files_of(sha256)}
        owners = {self._source_of(key, sha256) for key in keys if key.startswith(own)} - {sha256}
        return self._claims.setdefault(own, sha256) == sha256 and not owners

    def named_by_path(self) -> Iterator[tuple[str, Path, str]]:
        """Identity, place and SHA-256 of each finished source whose identity is its path."""
        for file in sorted(self._folder.glob("*.json")):
            try:
                record = json.loads(file.read_text())
                if record["identity_from"] == "path":
                    yield str(record["identity"]), Path(record["source"]), str(record["sha256"])
            except (OSError, ValueError, KeyError, TypeError):
                # Damaged, or of an earlier version: it is made anew.
                continue

    def write(self, record: SourceRecord) -> None:
        """Note that a source is done."""
        write_json(self._path(record.sha256), record.to_json(), indent=None)

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"

    def _has_clips(self, record: SourceRecord) -> bool:
        there = {file for _, file in self._files_of(record.sha256)}
        return all(clip_file(self._out, clip.key, suffix) in there for clip in record.clips for suffix in _SUFFIXES)

    def _files_of(self, sha256: str) -> Iterator[tuple[str, Path]]:
        """Key and place of the files there that may be of a source's clips."""
        for name, place in self._by_digits.get(sha256[:8], ()):
            if match := _NAME.fullmatch(name):
                yield match["key"], place / name

    def _remove_remains(self, sha256: str, stem: str) -> None:
        """Files of this source alone: of many sources, some share the eight digits by chance."""
        own = clip_key(stem, sha256, 0).removesuffix("000")
        keys = {key for key, _ in self._files_of(sha256)}
        doomed = {key for key in keys if self._source_of(key, sha256 if key.startswith(own) else None) == sha256}
        for key, file in self._files_of(sha256):
            if key in doomed:
                file.unlink(missing_ok=True)

    def _source_of(self, key: str, unknown: str | None) -> str | None:
        """SHA-256 of a clip's source, which may have had another name then; ``unknown`` where its record is missing."""
        try:
            return str(json.loads(clip_file(self._out, key, ".json").read_bytes())["meta"]["sha256"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return unknown


def was_prepared(folder: Path) -> bool:
    """Whether an earlier version prepared clips into a folder: its report is there, or a finished source's record."""
    try:
        if {"settings", "sources", "models"} <= json.loads((folder / "report.json").read_bytes()).keys():
            return True
    except (OSError, ValueError, AttributeError, RecursionError):
        pass
    return any(re.fullmatch(r"[0-9a-f]{64}\.json", file.name) for file in (folder / ".prepare").glob("*.json"))
