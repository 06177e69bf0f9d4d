"""Decoding from a moment on, without decoding everything before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import av
from av.container import InputContainer

from fada.media.container import Source, open_container
from fada.media.decoding import decode_stream
from fada.media.error import MediaError


def decode_from(
    source: Source,
    open_stream: Callable[[InputContainer], Any],
    seconds: float,
    lead: float = 0.0,
    may_seek: bool = True,
) -> Iterator[Any]:
    """Frames of a stream from the last key frame before a moment; from the beginning where that cannot be found.

    Args:
        source: the file.
        open_stream: chooses the stream in the opened container, before anything is decoded.
        seconds: the moment, as the container counts.
        lead: go back so much further; decoders need some sound before it is right.
        may_seek: False where the time stamps begin anew within the file (:func:`fada.media.decoding.is_joined`).

    Raises:
        MediaError: see :func:`fada.media.decoding.decode_stream`.
    """
    for is_seeking in (True, False) if may_seek else (False,):
        with open_container(source) as container:
            stream = open_stream(container)
            if is_seeking:
                _seek(container, stream, seconds - lead)
            frames = decode_stream(container, stream, source)
            try:
                first = next(frames, None)
            except MediaError:
                # Behind the last key picture, for example.
                if is_seeking:
                    continue
                raise
            if first is None:
                return
            if is_seeking and first.time is not None and first.time > seconds:
                continue
            yield from chain((first,), frames)
            return


def _seek(container: InputContainer, stream: Any, seconds: float) -> None:
    """To the last keyframe before; stays at the beginning where the container cannot."""
    if seconds <= 0:
        return
    try:
        container.seek(int(seconds / stream.time_base), stream=stream)
    except av.error.FFmpegError:
        container.seek(0)
