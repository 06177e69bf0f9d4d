"""A drawn talker, and stand-ins that find its face without any model; importable in worker processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from fada.data.prepare.models import Face, FaceFinder, overlap
from fada.media.video import write_video

_SIDE = 96
_SHAPE = np.random.default_rng(5).uniform(-0.4, 0.4, (478, 3)).astype(np.float32)
_SHAPE[:, 2] = 0
_SHAPE[10, :2], _SHAPE[152, :2], _SHAPE[1, :2], _SHAPE[168, :2] = (0, -0.5), (0, 0.5), (0, 0), (0, -0.2)
_SHAPE[234, :2], _SHAPE[454, :2] = (-0.5, 0), (0.5, 0)


class ColourFinder(FaceFinder):
    """Takes red blobs for faces; their green tells how far the mouth is open."""

    def __init__(self, *paths: object) -> None:
        self.calls = 0

    def close(self) -> None:
        pass

    def find(self, pixels: np.ndarray) -> list[Face]:
        self.calls += 1
        step = 1 + pixels.shape[0] // 800  # Large pictures are looked at in part.
        pixels = pixels[::step, ::step]
        faces = []
        for half in (slice(0, pixels.shape[1] // 2), slice(pixels.shape[1] // 2, None)):
            part = pixels[:, half]
            rows, columns = np.nonzero((part[..., 0] > 150) & (part[..., 2] < 100))
            if len(rows) < 20:
                continue
            height = float(np.ptp(rows) + 1)
            opening = float(part[rows, columns, 1].mean()) / 255 * 0.2
            shape = _SHAPE.copy()
            for upper, lower in ((13, 14), (82, 87), (312, 317)):
                shape[upper, :2], shape[lower, :2] = (0, 0.25 - opening / 2), (0, 0.25 + opening / 2)
            left = half.start or 0
            points = step * (shape * height + (left + columns.mean(), rows.mean(), 0))
            blendshapes = np.zeros(52, np.float32)
            blendshapes[25] = opening
            faces.append(Face(points.astype(np.float32), blendshapes))
        return sorted(faces, key=lambda face: -face.height)

    def find_near(self, pixels: np.ndarray, box: np.ndarray) -> Face | None:
        near = [face for face in self.find(pixels) if overlap(face.box, box) > 0.2]
        return near[0] if near else None

    def search(self, pixels: np.ndarray) -> list[Face]:
        return self.find(pixels)

    def mirror_error(self, pixels: np.ndarray, face: Face) -> float:
        return 0.0


def make_speech(seconds: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Syllables of noise (N,) at 16 kHz and the mouth opening (F,) in [0, 1] that goes with them."""
    generator = np.random.default_rng(seed)
    count = round(seconds * 25)
    opening = np.repeat(generator.choice([0.0, 0.3, 1.0], size=count // 3 + 1), 3)[:count]
    envelope = np.repeat(opening, 640)
    return (0.5 * envelope * generator.standard_normal(count * 640) / 3).clip(-1, 1).astype(np.float32), opening


def draw_talker(opening: np.ndarray, *, shift: int = 0, second: bool = False, height: int = 84) -> np.ndarray:
    """Frames (F, 96, 192, 3) with a red face left of the middle, ``shift`` frames late."""
    frames = np.full((len(opening), _SIDE, 2 * _SIDE, 3), 128, np.uint8)
    for index in range(len(opening)):
        green = round(140 * float(opening[np.clip(index - shift, 0, len(opening) - 1)]))
        frames[index, 6 : 6 + height, 8 : 8 + height] = (220, green, 20)
        if second:
            frames[index, 6 : 6 + height, 104 : 104 + height] = (220, green, 20)
    return frames


def talk(path: Path, seconds: float = 4.0, *, shift: int = 0, second: bool = False) -> Path:
    audio, opening = make_speech(seconds)
    write_video(path, draw_talker(opening, shift=shift, second=second), audio=audio)
    return path


BLUE, WHITE, CYAN = (0, 0, 255), (255, 255, 255), (0, 255, 255)
"""What a TrapFinder hangs on, dies of once, and dies of every time."""


class TrapFinder(ColourFinder):
    """Hangs on blue pictures and kills its process on others; leaves its process number beside the model."""

    def __init__(self, model: Path, *others: object) -> None:
        super().__init__()
        self._folder = Path(model).parent
        (self._folder / f"worker-{os.getpid()}").touch()

    def find(self, pixels: np.ndarray) -> list[Face]:
        colour = pixels[0, 0].astype(int)
        if np.abs(colour - BLUE).max() < 30:
            time.sleep(1000)
        dies_again = np.abs(colour - CYAN).max() < 30
        if dies_again or (np.abs(colour - WHITE).max() < 30 and not (self._folder / "died").exists()):
            (self._folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().find(pixels)


def trap(path: Path, colour: tuple[int, int, int], seconds: float = 1.2) -> Path:
    """A talker before a background that is a trap."""
    audio, opening = make_speech(seconds)
    frames = draw_talker(opening)
    frames[(frames == 128).all(axis=3)] = colour
    write_video(path, frames, audio=audio)
    return path
