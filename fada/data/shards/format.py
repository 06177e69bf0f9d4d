"""One sample of a shard and its members: KEY.json, and where there is one KEY.mp4, KEY.wav, and KEY.*.safetensors for
latents, states, landmarks, masks, face, keypoints and emotion. The JSON holds the hashes of its siblings. Nothing is
unpickled.
"""

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from fada.data.clips.emotion import EMOTIONS, soft_label
from fada.data.shards.record import Record, parse_record
from fada.media.audio import decode_wav, encode_wav
from fada.media.sample_rate import SAMPLE_RATE
from fada.media.video import decode_video, encode_video

_SUFFIXES = {
    "frames": "mp4",
    "audio": "wav",
    "latents": "latents.safetensors",
    "audio_states": "states.safetensors",
    "landmarks": "landmarks.safetensors",
    "masks": "masks.safetensors",
    "face": "face.safetensors",
    "keypoints": "keypoints.safetensors",
    "emotion": "emotion.safetensors",
}
PARTS = tuple(_SUFFIXES)
"""In an order that tables of samples count on: a new part is the last."""
_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "latents": {"latents": (0, 0, 0, 0)},
    "audio_states": {"audio_states": (0, 0, 0)},
    "landmarks": {
        "landmarks": (0, 478, 2), "blendshapes": (0, 0), "face_box": (0, 4),
        **dict.fromkeys(("lip_opening", "lips_in_depth", "lip_width", "yaw"), (0,)),
    },
    "masks": {"lip": (0, 0, 0), "face": (0, 0, 0)},
    "face": {"embedding": (0,)},
    "keypoints": {"points": (0, 5, 2), "visible": (0, 5), "lip_box": (0, 4)},
    "emotion": {"emotion": (len(EMOTIONS),)},
}  # fmt: skip
"""Tensors of a part and their lengths; 0 stands for any but nothing, the first for the frames (of `face` and
`emotion`: numbers)."""
_NEEDED = {
    "latents": {"latents"}, "audio_states": {"audio_states"}, "landmarks": {"landmarks"}, "masks": set[str](),
    "face": {"embedding"}, "keypoints": {"points", "visible", "lip_box"}, "emotion": {"emotion"},
}  # fmt: skip
"""Tensors without which a part is none; every part has one at least."""
_BYTES = {("masks", "lip"), ("masks", "face"), ("keypoints", "visible")}
"""Tensors of whole numbers from 0 to 255."""
PER_FRAME = ("latents", "audio_states", "landmarks", "masks", "keypoints")
"""Parts whose tensors have a row for each frame."""
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_FINITE = {
    torch.float16: (torch.int16, 0x7C00), torch.bfloat16: (torch.int16, 0x7F80),
    torch.float32: (torch.int32, 0x7F800000), torch.float64: (torch.int64, 0x7FF0000000000000),
}  # fmt: skip
"""As which whole numbers floats are looked at, and infinity as such a number."""
_UNREADABLE = (ValueError, KeyError, TypeError, OSError, EOFError, RuntimeError, OverflowError, MemoryError,
               safetensors.SafetensorError)  # fmt: skip
"""What decoders make of bytes that are not what they should be."""
_NAMES = {"latents": "latents", "audio_states": "audio_states", "face": "embedding", "emotion": "emotion"}
"""Parts that are one tensor: its name in the file."""

Skip = Callable[[str, str], None]
"""Called with the name of a damaged member and the reason."""


@dataclass(frozen=True)
class Sample:
    """One clip of a shard; parts that were not stored or not asked for are None."""

    key: str
    meta: dict[str, Any]
    frames: np.ndarray | None = None
    """uint8 (F, H, W, 3) RGB."""
    audio: np.ndarray | None = None
    """float32 (N,) mono."""
    latents: Tensor | None = None
    """(F, C, h, w) float16, bfloat16 or float32."""
    audio_states: Tensor | None = None
    """(F, L, D), all layers of the encoder; bfloat16 as `fada data shard` writes it."""
    landmarks: dict[str, Tensor] | None = None
    """What prepare found in the crop: landmarks (F, 478, 2), blendshapes (F, 52), face_box (F, 4), and lip_opening,
    lips_in_depth, lip_width and yaw (F,)."""
    masks: dict[str, Tensor] | None = None
    """Soft masks lip and face at the size of the latents: uint8 (F, h, w), 255 is inside."""
    face: Tensor | None = None
    """(512,) float32, whose face it is: an ArcFace embedding, not normalised."""
    keypoints: dict[str, Tensor] | None = None
    """As `Keypoints.stored` has them: points (F, 5, 2), visible (F, 5), lip_box (F, 4)."""
    emotion: Tensor | None = None
    """(7,) float32, a soft label (`fada.data.clips.emotion`)."""
    fps: float = 25.0
    sample_rate: int = SAMPLE_RATE
    stored: dict[str, bytes] = field(default_factory=dict)
    """Members by part as another shard holds them: they are written as they are instead of being encoded again."""


def encode_sample(sample: Sample) -> dict[str, bytes]:
    """The members of a sample, bytes by suffix, the JSON first."""
    members: dict[str, bytes] = {}
    for part, suffix in _SUFFIXES.items():
        if getattr(sample, part) is not None:
            members[suffix] = sample.stored[part] if part in sample.stored else _encode_part(part, sample)
    record = {
        "key": sample.key,
        "meta": sample.meta,
        "fps": sample.fps,
        "sample_rate": sample.sample_rate,
        "members": {suffix: hashlib.sha256(data).hexdigest() for suffix, data in members.items()},
    }
    return {"json": json.dumps(record).encode(), **members}


def _encode_part(part: str, sample: Sample) -> bytes:
    if part == "frames":
        assert sample.frames is not None
        return encode_video(sample.frames, sample.fps, quality="lossless")
    if part == "audio":
        assert sample.audio is not None
        return encode_wav(sample.audio, sample.sample_rate)
    value = getattr(sample, part)
    named = {_NAMES[part]: value} if part in _NAMES else value
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in named.items()})


def suffixes_of(parts: Collection[str]) -> set[str]:
    """Suffixes of the members that `decode_sample` looks at for these parts."""
    return {"json", *(_SUFFIXES[part] for part in parts)}


def suffix_of(part: str) -> str:
    """Suffix of the member that holds a part."""
    return _SUFFIXES[part]


def decode_sample(
    key: str,
    members: dict[str, bytes],
    split: str | None,
    parts: Collection[str],
    skip: Skip,
    record_hash: bytes | None = None,
    known: Collection[str] = (),
) -> Sample | None:
    """The sample, or None where a member is damaged or the split is another.

    Args:
        record_hash: SHA-256 of the JSON member, where it is known.
        known: suffixes of members whose very bytes were looked at before: hashes and values are not looked at again.
    """
    record = _record(key, members, skip, None if "json" in known else record_hash)
    if record is None or (split is not None and record.meta.get("split", "train") != split):
        return None
    hashes = record.members
    values: dict[str, Any] = {}
    for part in PARTS:
        suffix = _SUFFIXES[part]
        if part not in parts or suffix not in hashes:
            continue
        data = members.get(suffix)
        reason = _damage(data, None if suffix in known else hashes[suffix])
        if reason is None and data is not None:
            try:
                values[part] = _decode_part(part, data, record.sample_rate, suffix in known)
            except _UNREADABLE as error:
                reason = f"unreadable ({error})"
        if reason is not None:
            skip(f"{key}.{suffix}", reason)
            return None
    lengths = {part: _frames_of(value) for part, value in values.items() if part in PER_FRAME}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{part} {length}" for part, length in lengths.items())
        skip(f"{key}.json", f"its parts are of different lengths in frames ({said})")
        return None
    return Sample(key, record.meta, **values, fps=record.fps, sample_rate=record.sample_rate)


def is_as_written(part: str, data: bytes, expected: str) -> bool:
    """Whether a member has this SHA-256, and holds what `decode_sample` takes; pictures and sound are not decoded."""
    if _damage(data, expected) is not None:
        return False
    try:
        return part in ("frames", "audio") or _decode_part(part, data, 0, False) is not None
    except _UNREADABLE:
        return False


def check_members(
    key: str,
    members: dict[str, bytes],
    skip: Skip,
    parts: Collection[str] = PARTS,
    record_hash: bytes | None = None,
) -> None:
    """Call `skip` for a record that cannot be read, and for members of these parts that are not those that it names."""
    record, suffixes = _record(key, members, skip, record_hash), suffixes_of(parts)
    for suffix, expected in () if record is None else record.members.items():
        reason = _damage(members.get(suffix), expected) if suffix in suffixes else None
        if reason is not None:
            skip(f"{key}.{suffix}", reason)


def _record(key: str, members: dict[str, bytes], skip: Skip, expected: bytes | None = None) -> Record | None:
    if "json" not in members:
        skip(f"{key}.json", "missing")
        return None
    reason = None if expected is None else _damage(members["json"], expected.hex())
    if reason is not None:
        skip(f"{key}.json", reason)
        return None
    try:
        return parse_record(key, members["json"])
    except ValueError as error:
        skip(f"{key}.json", f"unreadable ({error})")
        return None


def _damage(data: bytes | None, expected: str | None) -> str | None:
    """What is wrong with a member's bytes, None where nothing is; of what hash they are, where that is expected."""
    if data is None:
        return "missing"
    if not data:
        return "empty or cut off"
    is_whole = expected is None or hashlib.sha256(data).hexdigest() == expected
    return None if is_whole else "changed since it was written (SHA-256 differs)"


def _decode_part(part: str, data: bytes, sample_rate: int, is_known: bool) -> np.ndarray | Tensor | dict[str, Tensor]:
    if part == "frames":
        return decode_video(data)
    if part == "audio":
        return decode_wav(data, sample_rate)
    tensors = safetensors.torch.load(data)
    _check_shapes(part, tensors)
    if not is_known and not all(is_finite(tensor) for tensor in tensors.values()):
        raise ValueError("holds values that are not finite")
    if part == "emotion":
        soft_label(tensors[part])
    return tensors[_NAMES[part]] if part in _NAMES else tensors


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite, told by their bits: a sixth of the time of `torch.isfinite` in 16 bits."""
    if not tensor.dtype.is_floating_point or not tensor.numel():
        return True
    kind, largest = _FINITE[tensor.dtype]
    bits = tensor.contiguous().view(kind).numpy()
    # Without its sign a number that is not finite is larger, as a whole number, than any that is.
    return int((bits & np.iinfo(bits.dtype).max).max()) < largest


def _check_shapes(part: str, tensors: dict[str, Tensor]) -> None:
    """Know that a part's tensors are of the kinds and shapes that its readers count on.

    Raises:
        ValueError: naming the tensor.
    """
    shapes = _SHAPES[part]
    lengths = set()
    for name, tensor in tensors.items():
        wanted = shapes.get(name)
        if wanted is None:
            raise ValueError(f"holds {name[:60]!r}; a part of {part} is {', '.join(shapes)}")
        is_of_its_kind = tensor.dtype == torch.uint8 if (part, name) in _BYTES else tensor.dtype in _FLOATS
        if part == "latents":
            # Maps of a VAE, or what a family's own codec makes of a frame: any row of numbers.
            wanted = (0,) * min(max(tensor.ndim, 2), len(wanted))
        fits = len(wanted) == tensor.ndim and all(
            there and there == (size or there) for size, there in zip(wanted, tensor.shape, strict=True)
        )
        if not is_of_its_kind or not fits:
            raise ValueError(f"{name} is {list(tensor.shape)} of {tensor.dtype}, which no {part} is")
        lengths.add(len(tensor))
    missing = _NEEDED[part] - tensors.keys()
    if missing or not tensors:
        raise ValueError(f"lacks {', '.join(sorted(missing)) or part}")
    if len(lengths) > 1:
        raise ValueError("its tensors are of different lengths in frames")


def _frames_of(value: Tensor | dict[str, Tensor]) -> int:
    return len(next(iter(value.values())) if isinstance(value, dict) else value)
