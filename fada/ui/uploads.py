"""Uploads: limits of size and length, and what becomes of the bytes.

Nothing of an upload is believed: neither its name, which is dropped, nor its type, which the media readers find from
the content. Of a picture only its pixels are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fada.files.shareable import shareable_text
from fada.media.channels import Downmix
from fada.media.error import MediaError
from fada.media.image import read_image, square_resize, write_png
from fada.media.sample_rate import SAMPLE_RATE
from fada.media.sound_timeline import sound_blocks

SHOWN_SIDE = 384
"""Pixels of the square that the page shows of a portrait."""


class UploadRefused(ValueError):
    """An upload that is too large, too long, or not what it should be."""


@dataclass(frozen=True)
class Limits:
    """Of uploads: bytes of each kind, and seconds of a sound."""

    portrait: int = 32 * 2**20
    speech: int = 256 * 2**20
    seconds: float = 600.0


@dataclass(frozen=True)
class Portrait:
    """A picture that was taken in: pixels as PNG, the centred square for the page, its size."""

    file: Path
    shown: Path
    width: int
    height: int


def take_portrait(upload: Path, name: str) -> Portrait:
    """Decode a picture, keep its pixels beside it as NAME.png, and remove what was uploaded.

    Raises:
        UploadRefused: it is no picture that is read.
    """
    try:
        pixels = read_image(upload)
    except MediaError as error:
        raise UploadRefused(f"portrait: {_without(upload, error)}") from error
    finally:
        upload.unlink(missing_ok=True)
    height, width = pixels.shape[:2]
    found = Portrait(upload.parent / f"{name}.png", upload.parent / f"{name}-shown.png", width, height)
    write_png(found.file, pixels)
    write_png(found.shown, square_resize(pixels, min(SHOWN_SIDE, width, height)))
    return found


def take_speech(upload: Path, limits: Limits) -> float:
    """Decode a sound once, to its end or the limit; its seconds. It keeps its bytes: a video has its rate and channels.

    Raises:
        UploadRefused: it is no sound that is read, or too long; the file is then removed.
    """
    samples, most = 0, limits.seconds * SAMPLE_RATE
    try:
        for block in sound_blocks(upload, SAMPLE_RATE, Downmix()):
            samples += block.shape[1]
            if samples > most:
                raise MediaError(f"is longer than {limits.seconds:g} s; cut it, or start fada ui with --most-seconds")
        if samples * 25 < SAMPLE_RATE:
            raise MediaError("is shorter than a frame (0.04 s); record more")
    except MediaError as error:
        upload.unlink(missing_ok=True)
        raise UploadRefused(f"sound: {_without(upload, error)}") from error
    return samples / SAMPLE_RATE


def _without(upload: Path, error: Exception) -> str:
    """What is wrong, without the name that the studio gave the file."""
    return shareable_text(str(error).removeprefix(f"{upload}: "))
