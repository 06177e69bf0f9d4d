"""One raw video into clips: decode, find the face, judge, measure the sound's offset, cut, write.

Clips are cut when the whole video has been looked at; until then the head's surroundings wait on disk (pieces.py), so
that a long video never has to fit in memory.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fada.data.clips.clip import REJECTED, Clip, write_clip
from fada.data.clips.clip_files import home_of
from fada.data.prepare import measure
from fada.data.prepare.crop import choose_box, to_crop
from fada.data.prepare.identities import Identity
from fada.data.prepare.judge import Judgement, judge_piece, judge_stretch
from fada.data.prepare.landmarks import landmark_arrays, write_landmarks
from fada.data.prepare.models import FaceFinder
from fada.data.prepare.pieces import HeadKeeper, Piece, cut_pieces
from fada.data.prepare.reasons import Limits, Reason, Rejection
from fada.data.prepare.report import PreparedClip, SourceRecord
from fada.data.prepare.sync import SyncMeasurement, shift_for
from fada.data.prepare.track import Stretch, Track, follow
from fada.engine.clock import Clock
from fada.media.audio import read_audio
from fada.media.error import MediaError
from fada.media.frame_count import frame_count, frames_begun, frames_in, sample_range
from fada.media.part_store import PartStore
from fada.media.pictures import Picture, iterate_pictures
from fada.media.sample_rate import SAMPLE_RATE
from fada.media.video import VideoInfo, probe

_SILENT_FRAMES_AT_END = 2
"""Sound often ends a few milliseconds before the picture; silence fills up to this many frames."""


@dataclass(frozen=True)
class PrepareSettings:
    """What the clips shall be like."""

    size: int = 512
    """Side of the square clips in pixels."""
    fps: float = 25.0
    min_seconds: float = 1.0
    max_seconds: float = 10.0
    margin: float = 1.9
    """Side of the square in face heights."""
    correct_offset: bool = True
    """Shift the sound where it is clearly off by a few frames."""
    test_share: float = 0.0
    """Share of identities (by a hash of their name) whose clips are marked as test clips."""
    limits: Limits = field(default_factory=Limits)


def clip_key(stem: str, sha256: str, index: int) -> str:
    """Name of a clip: unique by content, readable, one plain word (a dot would end the key in a shard)."""
    word = re.sub(r"[^A-Za-z0-9_-]+", "_", stem)[:80]
    # No word for a command line begins with a dash.
    return f"{re.sub('^-', '_', word)}-{sha256[:8]}-{index:03d}"


def is_test_identity(identity: str, test_share: float) -> bool:
    """Whether an identity is held out; depends on nothing but its name."""
    return int(hashlib.sha256(identity.encode()).hexdigest()[:8], 16) / 2**32 < test_share


def prepare_source(
    path: Path,
    sha256: str,
    out: Path,
    settings: PrepareSettings,
    fingerprint: str,
    finder: FaceFinder,
    identity: Identity,
) -> SourceRecord:
    """Write the clips of one video and say what came of every part of it; never raises for a bad video."""
    began = time.monotonic()
    work = _Source(path, sha256, out, settings, finder, identity)
    try:
        work.run()
    except MediaError as error:
        work.rejections = [Rejection(str(path), Reason.UNDECODABLE, 0.0, None, str(error))]
        work.clips = []
    return SourceRecord(
        source=str(path),
        sha256=sha256,
        settings=fingerprint,
        video_seconds=work.video_seconds,
        seconds_taken=round(time.monotonic() - began, 3),
        stages=work.clock.rounded(),
        clips=tuple(work.clips),
        rejections=tuple(sorted(work.rejections, key=lambda rejection: rejection.start_seconds)),
        identity=identity.name,
        identity_from=identity.origin,
    )


class _Source:
    """The state of preparing one video."""

    def __init__(
        self, path: Path, sha256: str, out: Path, settings: PrepareSettings, finder: FaceFinder, identity: Identity
    ) -> None:
        self.path, self.sha256, self.out, self.settings = path, sha256, out, settings
        self.finder, self.identity = finder, identity
        self.rejections: list[Rejection] = []
        self.clips: list[PreparedClip] = []
        self.video_seconds: float | None = None
        self._pieces: list[Piece] = []
        self.clock = Clock()

    def _reject(self, reason: Reason, detail: str, start: int = 0, end: int | None = None) -> None:
        self._reject_all({reason: detail}, start, end)

    def _reject_all(self, found: Judgement, start: int, end: int | None) -> None:
        reasons = [reason for reason in Reason if reason in found]
        fps = self.settings.fps
        end_seconds = self.video_seconds if end is None else end / fps
        self.rejections.append(
            Rejection(str(self.path), reasons[0], start / fps, end_seconds, found[reasons[0]], tuple(reasons[1:]))
        )

    def run(self) -> None:
        with self.clock("probe"):
            info = probe(self.path)
        self.video_seconds = round(info.duration_seconds, 3)
        if not info.has_audio:
            return self._reject(Reason.NO_AUDIO, "the file has no audio stream")
        with self.clock("sound"):
            audio = read_audio(self.path, SAMPLE_RATE)
        loudness = measure.loudness_decibels(audio, SAMPLE_RATE)
        if loudness < self.settings.limits.silence_decibels:
            return self._reject(Reason.SILENT_AUDIO, f"loudest second at {loudness:.1f} dB")
        with PartStore() as store:
            self._take_picture(audio, info, store)

    def _take_picture(self, audio: np.ndarray, info: VideoInfo, store: PartStore) -> None:
        with self.clock("faces and cuts"):
            track = self._follow(store)
        self.video_seconds = round(track.frame_count / self.settings.fps, 3)
        share = track.found_count / track.frame_count
        if share < self.settings.limits.min_face_share:
            return self._reject(Reason.NO_FACE, f"a face in {share:.0%} of {track.frame_count} frames")
        self._reject_gaps(track)
        with self.clock("judge"):
            for stretch in track.stretches:
                self._take_stretch(stretch, track, audio, info)
        with self.clock("cut"):
            settings = self.settings
            for piece, frames in cut_pieces(self.path, self._pieces, settings.size, settings.fps, store, self.clock):
                with self.clock("write"):
                    self._write_piece(piece, frames, audio)

    def _follow(self, store: PartStore) -> Track:
        """Look for the face in every frame, and keep what clips may be cut from."""
        settings = self.settings
        keeper = HeadKeeper(store, settings.margin)
        current: list[Picture] = []

        def looks() -> Iterator[np.ndarray]:
            for picture in iterate_pictures(self.path, settings.fps):
                current[:] = [picture]
                yield picture.look()

        def keep(number: int, face: np.ndarray) -> None:
            with self.clock("cut"):
                keeper.keep(number, current[0], face)

        return follow(self.clock.each("decode", looks()), self.finder, settings.limits.max_gap_frames, keep)

    def _reject_gaps(self, track: Track) -> None:
        """Note where no face was followed; gaps shorter than those a stretch bridges are not worth a line."""
        edges = [0, *(edge for s in track.stretches for edge in (s.start, s.end)), track.frame_count]
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            if end - start > self.settings.limits.max_gap_frames:
                self._reject(Reason.FACE_LOST, f"no face for {end - start} frames", start, end)

    def _take_stretch(self, stretch: Stretch, track: Track, audio: np.ndarray, info: VideoInfo) -> None:
        """Judge a stretch, and cut it into pieces of equal length that are judged one by one."""
        settings = self.settings
        end = min(stretch.end, frames_begun(len(audio), SAMPLE_RATE, settings.fps) + _SILENT_FRAMES_AT_END)
        if end < stretch.end:
            self._reject(Reason.NO_AUDIO, "the sound ends before the picture", max(end, stretch.start), stretch.end)
        length = end - stretch.start
        if length < frames_in(settings.min_seconds, settings.fps):
            if length > 0:
                detail = f"{length / settings.fps:.2f} s, at least {settings.min_seconds:g} s wanted"
                self._reject(Reason.TOO_SHORT, detail, stretch.start, end)
            return
        points, blendshapes = (values[:length] for values in stretch.arrays())
        sound = self._sound(audio, stretch.start, end)
        found, sync = judge_stretch(stretch, points, blendshapes, sound, settings.fps, settings.limits)
        if found:
            # The other measurements are worth knowing too.
            others = judge_piece(points, stretch.other_heights[:length], sound, settings.limits)
            return self._reject_all({**others, **found}, stretch.start, end)
        shift = shift_for(sync, settings.limits) if settings.correct_offset else 0
        whole = frame_count(len(audio), SAMPLE_RATE, settings.fps)
        lowest, highest = _with_sound(stretch.start, length, shift, whole)
        if highest - lowest < settings.min_seconds * settings.fps:
            detail = f"{highest - lowest} frames with sound after a shift by {shift:+d}, more wanted"
            return self._reject(Reason.TOO_SHORT, detail, stretch.start, end)
        count = int(np.ceil((highest - lowest) / round(settings.max_seconds * settings.fps)))
        bounds = np.linspace(lowest, highest, count + 1).round().astype(int)
        for first, last in pairwise(bounds):
            self._take_piece(stretch, int(first), int(last), points, blendshapes, audio, sync, shift, track, info)

    def _take_piece(
        self,
        stretch: Stretch,
        first: int,
        last: int,
        points: np.ndarray,
        blendshapes: np.ndarray,
        audio: np.ndarray,
        sync: SyncMeasurement,
        shift: int,
        track: Track,
        info: VideoInfo,
    ) -> None:
        settings = self.settings
        own_points, own_shapes = points[first:last], blendshapes[first:last]
        start, end = stretch.start + first, stretch.start + last
        own_sound = self._sound(audio, start - shift, end - shift)
        found = judge_piece(own_points, stretch.other_heights[first:last], own_sound, settings.limits)
        if found:
            return self._reject_all(found, start, end)
        box = choose_box(own_points, track.frame_size, settings.margin, fps=settings.fps)
        key = clip_key(self.path.stem, self.sha256, len(self._pieces))
        piece = Piece(key, start, end, own_points, own_shapes, box, {})
        # Every piece has the offset of its stretch: more frames know it better.
        known = {**sync.to_json(), "shift": shift, "stretch_frames": len(points)}
        piece.meta = self._meta(piece, own_sound, known, info, stretch)
        self._pieces.append(piece)

    def _sound(self, audio: np.ndarray, start: int, end: int) -> np.ndarray:
        """The samples of frames [start, end), silence after the end of the file."""
        span = sample_range(start, end, SAMPLE_RATE, self.settings.fps)
        part = audio[span]
        return np.pad(part, (0, span.stop - span.start - len(part)))

    def _meta(
        self, piece: Piece, sound: np.ndarray, sync: dict[str, Any], info: VideoInfo, stretch: Stretch
    ) -> dict[str, Any]:
        settings = self.settings
        opening = measure.lip_opening(piece.points)
        limits = settings.limits
        is_known, is_clear = (
            sync["confidence"] >= least for least in (limits.min_sync_confidence, limits.clear_sync_confidence)
        )
        motion = measure.head_motion(piece.points)
        others = np.asarray(stretch.other_heights[piece.start - stretch.start : piece.end - stretch.start])
        second_share = float(np.mean(others >= settings.limits.second_face_height))
        flaws = {
            "unknown_sync": not is_known,
            "audio_offset": is_known and abs(sync["offset"] - sync["shift"]) > 1,
            "weak_sync": is_known and not is_clear,
            "head_motion": motion > 0.6 * settings.limits.max_head_motion,
            "upscaled": piece.box.side < 0.5 * settings.size,
            "padded": piece.box.padded_share > 0.1,
        }
        named = [name for name, holds in flaws.items() if holds]
        is_useless = not is_known or abs(sync["offset"]) > limits.max_corrected_offset
        return {
            "identity": self.identity.name,
            "identity_from": self.identity.origin,
            "quality": REJECTED if is_useless else "B" if named else "A",
            "flaws": named,
            "split": "test" if is_test_identity(self.identity.name, settings.test_share) else "train",
            "source": self.path.name,
            "sha256": self.sha256,
            "start_seconds": round(piece.start / settings.fps, 3),
            "end_seconds": round(piece.end / settings.fps, 3),
            "sync": {**sync, "is_clear": is_clear, "is_corrected": sync["shift"] != 0},
            "face": {
                "height_pixels": round(float(np.median(measure.face_heights(piece.points))), 1),
                "motion_per_frame": round(motion, 5),
                "roll_degrees": round(measure.head_roll(piece.points), 2),
                "share_found": round(stretch.share_found, 4),
                "second_share": round(second_share, 4),
            },
            "mouth": {
                "mean_opening": round(float(opening.mean()), 5),
                "range": round(measure.mouth_range(opening), 5),
            },
            "audio": {
                "loudness_decibels": round(measure.loudness_decibels(sound, SAMPLE_RATE), 2),
                "swing_decibels": round(measure.speech_swing_decibels(sound, SAMPLE_RATE), 2),
            },
            "crop": piece.box.to_json(),
            "video": {
                "width": info.width,
                "height": info.height,
                "fps": None if info.fps is None else round(info.fps, 4),
                "codec": info.codec,
                "container": self.path.suffix.lower().removeprefix("."),
                "bits_per_pixel": _bits_per_pixel(self.path, info),
            },
        }

    def _write_piece(self, piece: Piece, frames: np.ndarray, audio: np.ndarray) -> None:
        settings, sync = self.settings, piece.meta["sync"]
        sound = self._sound(audio, piece.start - sync["shift"], piece.end - sync["shift"])
        landmarks = to_crop(piece.points, piece.box)
        home = home_of(self.out, piece.key)
        write_landmarks(home, piece.key, landmark_arrays(piece.points, piece.blendshapes, landmarks))
        write_clip(home, Clip(piece.key, frames, sound, settings.fps, SAMPLE_RATE, piece.meta))
        self.clips.append(
            PreparedClip(
                key=piece.key,
                start_seconds=piece.meta["start_seconds"],
                end_seconds=piece.meta["end_seconds"],
                quality=piece.meta["quality"],
                flaws=tuple(piece.meta["flaws"]),
                offset=sync["offset"],
                correlation=sync["correlation"],
                confidence=sync["confidence"],
                offset_corrected=sync["is_corrected"],
            )
        )


def _with_sound(start: int, length: int, shift: int, sound_frames: int) -> tuple[int, int]:
    """Frames [first, last) of a stretch that have sound once it is shifted: what lies outside the file is unknown.

    Args:
        start: the stretch's first frame in the file.
        length: its frames.
        shift: frames by which the sound is delayed.
        sound_frames: frames of the file whose sound is whole.
    """
    last = length if shift >= 0 else min(length, sound_frames + shift - start)
    return max(0, shift - start), last


def _bits_per_pixel(path: Path, info: VideoInfo) -> float | None:
    """Of the whole file, sound included: what the header says of streams is often wrong or missing."""
    pixels = info.width * info.height * (info.fps or 0.0) * info.duration_seconds
    return round(path.stat().st_size * 8 / pixels, 5) if pixels > 0 else None
