"""HDR and wide-gamut signals to BT.709 as screens show it: one look-up cube per kind of signal, applied by FFmpeg.

The chain, per pixel: signal to light in cd/m2 (BT.2100), highlights compressed, primaries to BT.709 with what lies
outside cut off (BT.2407, 2), light to signal with a screen's gamma of 2.2. White of graphics, which HDR shows at 203
cd/m2 (BT.2408, 2.1), belongs to the signal 1 of BT.709; highlights are compressed by the curve of BT.2390 (5.4.1) from
1000 to 203 cd/m2. It leaves everything below about 88 cd/m2 (175 of 255, faces in ordinary light) as it is, and puts
that white at 229 of 255. The curve acts on the largest of R, G and B and scales all three alike, so that hues stay.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np

_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_PEAK = 1000.0
"""cd/m2: HLG's nominal peak, and what most PQ is mastered for; anything brighter becomes white."""
_WHITE = 203.0
"""cd/m2 of the signal 1 of BT.709."""
_GAMMA = 2.2
_LEVEL = 8
"""The cube has level**2 = 64 points a side; FFmpeg interpolates between them in tetrahedra."""

PQ, HLG, SDR = "PQ", "HLG", "SDR"

# Linear RGB of wider primaries to BT.709's; white is D65 in all. From the chromaticities in BT.2020 and SMPTE EG 432.
_TO_BT709 = {
    "BT.2020": np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]),
    "P3": np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]]),
    "BT.709": np.eye(3),
}
_LUMINANCE_BT2020 = np.array([0.2627, 0.6780, 0.0593])


def pq_to_light(signal: np.ndarray) -> np.ndarray:
    """cd/m2 of a PQ signal in [0, 1] (BT.2100, table 4)."""
    power = signal ** (1 / _PQ_M2)
    return 10000 * (np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power)) ** (1 / _PQ_M1)


def light_to_pq(light: np.ndarray) -> np.ndarray:
    """The PQ signal of cd/m2, see :func:`pq_to_light`."""
    power = (np.maximum(light, 0) / 10000) ** _PQ_M1
    return ((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2


def hlg_to_light(signal: np.ndarray) -> np.ndarray:
    """cd/m2 of HLG signals (..., 3) on a screen of 1000 cd/m2, system gamma 1.2 (BT.2100, table 5)."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12)
    luminance = scene @ _LUMINANCE_BT2020
    return _PEAK * scene * np.maximum(luminance, 1e-9)[..., None] ** 0.2


def compress_highlights(light: np.ndarray) -> np.ndarray:
    """cd/m2 up to 1000 to cd/m2 up to 203, by the Hermite spline of BT.2390 (5.4.1) over PQ signals."""
    top = light_to_pq(np.array(_PEAK))
    most = light_to_pq(np.array(_WHITE)) / top
    knee = 1.5 * most - 0.5
    signal = np.minimum(light_to_pq(light) / top, 1.0)
    t = np.clip((signal - knee) / (1 - knee), 0.0, 1.0)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    return pq_to_light(np.where(signal < knee, signal, spline) * top)


def to_bt709(signal: np.ndarray, transfer: str, primaries: str) -> np.ndarray:
    """RGB signals (..., 3) in [0, 1] as BT.709 signals in [0, 1].

    Args:
        signal: of the given transfer and primaries.
        transfer: PQ, HLG or SDR (a screen's gamma).
        primaries: BT.2020, P3 or BT.709.
    """
    if transfer == SDR:
        light = signal**_GAMMA
    else:
        bright = pq_to_light(signal) if transfer == PQ else hlg_to_light(signal)
        largest = bright.max(axis=-1, keepdims=True)
        light = bright * (compress_highlights(largest) / np.maximum(largest, 1e-9)) / _WHITE
    narrow = light @ _TO_BT709[primaries].T
    return np.clip(narrow, 0.0, 1.0) ** (1 / _GAMMA)


class ToneMapper:
    """Frames of one kind of signal and one size to rgb24 in BT.709."""

    def __init__(self, transfer: str, primaries: str, width: int, height: int) -> None:
        side, edge, base = _LEVEL**2, _LEVEL**3, Fraction(1, 1)
        steps = np.arange(side) / (side - 1)
        blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
        cube = to_bt709(np.stack((red, green, blue), axis=-1), transfer, primaries).reshape(edge, edge, 3)
        table = av.VideoFrame.from_ndarray(np.round(cube * 65535).astype(np.uint16), format="rgb48le")
        table.pts, table.time_base = 0, base
        self._table: av.VideoFrame | None = table
        self._count = 0
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        form = av.VideoFormat("rgb48le")
        picture = self._graph.add_buffer(width=width, height=height, format=form, time_base=base)
        look_up = self._graph.add_buffer(width=edge, height=edge, format=form, time_base=base, name="table")
        mapped = self._graph.add("haldclut")
        picture.link_to(mapped, 0, 0)
        look_up.link_to(mapped, 0, 1)
        mapped.link_to(self._graph.add("buffersink"))
        self._graph.configure()

    def map(self, frame: Any) -> np.ndarray:
        """uint8 (H, W, 3) of an rgb48le frame."""
        frame.pts, frame.time_base = self._count, Fraction(1, 1)
        self._graph.vpush(frame, at=0)
        if self._table is not None:
            self._graph.vpush(self._table, at=1)
            # Its end: the graph then repeats it for all pictures to come.
            self._graph.vpush(None, at=1)
            self._table = None
        self._count += 1
        mapped = self._graph.vpull().to_ndarray()
        # 65535 / 257 = 255, rounded.
        return ((mapped.astype(np.uint32) + 128) // 257).astype(np.uint8)
