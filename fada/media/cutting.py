"""Cutting a stretch and a box out of a video: whole frames, the sound that belongs to them, nothing resampled.

Copying packets would be exact only from keyframe to keyframe and without a box, so the picture is encoded anew, near
lossless: its pixels are never scaled, and colours, range, more than eight bits, pixel aspect and orientation stay as
they are. The sound is stored as FLAC, sample by sample.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av

from fada.files.whole import whole_file
from fada.media.colour import Colour, colour_of, planar_yuv
from fada.media.container import frame_rate, open_container, video_stream
from fada.media.cut_sound import CutSound
from fada.media.decoding import is_joined, origin_seconds
from fada.media.error import MediaError
from fada.media.seeking import decode_from
from fada.media.upright import Layout, Orientation, PixelBox, UprightFrames

__all__ = ["PixelBox", "cut_video", "read_label"]

_END_TOLERANCE_SECONDS = 0.5
"""A list's end may lie this far behind the last frame: some lists give whole seconds."""


def cut_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    start: float,
    end: float,
    box: PixelBox,
    label: str = "",
) -> None:
    """Write the frames nearest to [start, end) and their sound as an mp4, atomically.

    Frame rate, time stamps (also uneven ones), sample rate and channels are kept.

    Args:
        source: a local video with sound.
        target: the mp4 to write.
        start: seconds after the first frame of the source.
        end: seconds after the first frame of the source; up to half a second beyond its end is forgiven.
        box: what to keep of each frame, in pixels as :func:`fada.media.video.probe` counts them (upright, square); its
            nearest even one of the stored picture is cut.
        label: free text in the file's comment, see :func:`read_label`.

    Raises:
        MediaError: the source is damaged, has no sound, ends before ``end``, or the box leaves the picture.
    """
    with whole_file(target) as temporary, av.open(f"file:{temporary}", mode="w", format="mp4") as writing:
        writing.metadata["comment"] = label
        _Cut(Path(source), writing, start, end, box).run()


def read_label(path: str | os.PathLike[str]) -> str | None:
    """The label a cut was written with; None where there is no such file or it has none."""
    if not Path(path).is_file():
        return None
    try:
        with open_container(path) as container:
            return container.metadata.get("comment")
    except MediaError:
        return None


class _Cut:
    """One cut: decodes, crops, encodes."""

    def __init__(self, source: Path, writing: Any, start: float, end: float, box: PixelBox) -> None:
        self._source, self._writing, self._box = source, writing, box
        self._start, self._end = start, end
        self._origin = origin_seconds(source)

    def run(self) -> None:
        with open_container(self._source) as container:
            may_seek = not is_joined(container, self._source)
        frames = self._stretch(may_seek)
        first = next(frames, None)
        if first is None:
            raise MediaError(f"{self._source}: has no frame from {self._start:g} to {self._end:g} s")
        layout = self._upright.layout(first)
        box = self._stored_box(layout)
        colour = colour_of(first, self._source)
        video = self._video_encoder(first, layout, box, colour)
        begin = self._origin + self._at(first)
        sound = CutSound(self._source, self._writing, begin, self._end - self._start, may_seek)
        crop = _cropper(first, box)
        first_stamp = first.pts
        last = first
        for frame in chain((first,), frames):
            last = frame
            if (frame.width, frame.height) != (first.width, first.height):
                raise MediaError(f"{self._source}: its picture changes size at {self._at(frame):.2f} s")
            crop.vpush(frame)
            cropped = planar_yuv(crop.vpull(), colour, video.pix_fmt)
            cropped.pts = frame.pts - first_stamp
            cropped.pict_type = 0  # the encoder chooses; the source's keyframes mean nothing here
            self._writing.mux(video.encode(cropped))
            sound.write_until(self._at(frame) - self._at(first))
        self._writing.mux(video.encode(None))
        length = self._at(last) + self._frame_seconds - self._at(first)
        sound.write_until(length)
        sound.close()
        if self._at(last) + self._frame_seconds < self._end - _END_TOLERANCE_SECONDS:
            raise MediaError(
                f"{self._source}: ends at {self._at(last) + self._frame_seconds:.2f} s, before {self._end:g} s; "
                "it is cut off or another version of the video"
            )

    def _at(self, frame: Any) -> float:
        """Seconds after the source's first frame."""
        return float(frame.time) - self._origin

    def _open(self, container: Any) -> Any:
        stream = video_stream(container, self._source)
        self._upright = UprightFrames(stream, self._source)
        self._rate = frame_rate(stream) or Fraction(25)
        self._frame_seconds = 1 / float(self._rate)
        return stream

    def _stretch(self, may_seek: bool) -> Iterator[Any]:
        """Decoded frames whose times round into the stretch."""
        for frame in decode_from(self._source, self._open, self._origin + self._start, may_seek=may_seek):
            half = self._frame_seconds / 2
            if self._at(frame) >= self._end - half:
                return
            if self._at(frame) >= self._start - half:
                yield frame

    def _stored_box(self, layout: Layout) -> PixelBox:
        box, (width, height) = self._box, layout.shown_size
        stored = layout.to_stored(box).even()
        is_inside = min(box.left, box.top) >= 0 and box.left + box.width <= width and box.top + box.height <= height
        if not is_inside or min(box.width, box.height, stored.width, stored.height) <= 0:
            raise MediaError(
                f"{self._source}: the box ({box.width}x{box.height} at {box.left}, {box.top}) leaves the picture "
                f"({width}x{height}); it is another version of the video"
            )
        return stored

    def _video_encoder(self, first: Any, layout: Layout, box: PixelBox, colour: Colour) -> Any:
        options = {"preset": "fast", "crf": "12", "threads": "1"}
        stream = self._writing.add_stream("libx264", rate=self._rate, options=options)
        has_more_bits = any(part.bits > 8 for part in first.format.components)
        stream.width, stream.height = box.width, box.height
        stream.pix_fmt = "yuv420p10le" if has_more_bits else "yuv420p"
        context = stream.codec_context
        context.time_base = first.time_base
        # Said outright: what was taken by the size of the whole picture must not be taken by that of the part.
        context.colorspace, context.color_range = colour.matrix, 2 if colour.is_full_range else 1
        context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
        if layout.aspect != 1:
            context.sample_aspect_ratio = Fraction(layout.aspect).limit_denominator(1000)
        if layout.orientation != Orientation():
            stream.set_display_matrix(layout.orientation.matrix())
        return stream


def _cropper(first: Any, box: PixelBox) -> Any:
    graph = av.filter.Graph()
    entry = graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=first.time_base)
    crop = graph.add("crop", f"w={box.width}:h={box.height}:x={box.left}:y={box.top}")
    graph.link_nodes(entry, crop, graph.add("buffersink")).configure()
    return graph
