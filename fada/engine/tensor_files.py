"""Safetensors files that are written whole and know whether they still are: the hash of all tensors is in the header.

Files of others, and of earlier versions, carry no such hash: of them only the header is checked, which names every
tensor's place and so shows a cut.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, uint8

from fada.files.whole import whole_file

HASH = "fada_sha256"


class DamagedFile(ValueError):
    """A file that does not hold what was written into it; the message names it."""


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors to a file that is there whole, and on disk, when this returns; or not at all.

    Raises:
        OSError: it could not be written.
    """
    held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with whole_file(path) as temporary:
        try:
            save_file(held, str(temporary), metadata={HASH: hash_tensors(held)})
        except SafetensorError as error:
            # It has an error of its own for a full disk.
            raise OSError(f"{path}: could not be written ({error})") from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """What a file holds, known to be what was written.

    Raises:
        DamagedFile: it is cut, changed, or no safetensors file.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            expected = (file.metadata() or {}).get(HASH)
        found = load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFile(f"{path}: cannot be read as safetensors ({error})") from error
    if expected is not None and hash_tensors(found) != expected:
        raise DamagedFile(f"{path}: is damaged (the SHA-256 of its tensors differs from the one written)")
    return found


def hash_tensors(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(uint8).numpy().data)
    return digest.hexdigest()


def header_fault(path: Path) -> str | None:
    """What is wrong with a safetensors file, by its header alone; None where that names all of it."""
    try:
        with safe_open(str(path), framework="pt"):
            return None
    except (SafetensorError, OSError, ValueError) as error:
        return f"{path.name} cannot be read as safetensors ({error})"
