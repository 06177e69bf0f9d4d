"""What `fada data encode` has to do of a set: its shards, each with what decides the result, and which are done."""

from __future__ import annotations

from collections.abc import Mapping

from fada.data.shards.location import Location
from fada.data.shards.reading import ShardInfo, read_index
from fada.files.manifest import hash_file
from fada.packing.encode_shard import NOTES, EncodeTask
from fada.packing.shards_in_making import SetInMaking
from fada.packing.with_masks import DRAWN_MASKS
from fada.run.data import ENCODING

KEPT: Mapping[tuple[str, ...], str] = {("frames", "audio"): "kept", ("audio",): "sound alone kept", (): "dropped"}
"""What becomes of frames and sound, as records say it."""
NAMES = {
    "vae": "the VAE",
    "audio_encoder": "the audio encoder",
    "masks": "how masks are drawn",
    "face_embedder": "the face embedder",
    "emotion_classifier": "the emotion classifier",
    "encoding": "the version of the encoding",
    "sharding": "the version of the sharding",
    "media": "frames and sound",
}
"""What a shard is made of, for people."""


FOUND: Mapping[str, str] = {"face_embedder": "face", "emotion_classifier": "emotion"}
"""Networks that find something of a clip, and the part that it is kept in."""


def plan_set(
    source: Location, out: Location, features: dict[str, str], keeps: tuple[str, ...], overwrite: bool
) -> SetInMaking[EncodeTask]:
    """What is to be done of a set and what is done already.

    Raises:
        ShardError: what lies there follows from something else, and may not be replaced.
    """
    index = read_index(source)
    common = {**features, "masks": DRAWN_MASKS, "media": KEPT[keeps]}
    common["encoding"] = str(ENCODING)
    anew = tuple(part for name, part in FOUND.items() if name in features and name in index.features)
    tasks = {
        number: EncodeTask(
            str(source), shard, number, str(out), {"input": _hash_of(source, shard), **common}, keeps, anew
        )
        for number, shard in enumerate(index.shards)
    }
    # Masks of an earlier drawing stay only where there are no landmarks to draw them from; states where they are made.
    passed_on = {
        name: value for name, value in index.features.items() if name not in common and name != "audio_encoder"
    }
    masks = DRAWN_MASKS if index.parts.get("landmarks") else index.features.get("masks")
    made_by = in_order({**features, **({"masks": masks} if masks else {}), **passed_on})
    made = SetInMaking(str(source), out, out / NOTES, index.samples, made_by, tasks)
    made.take_up({"input": "the input shard", **NAMES}, overwrite)
    return made


def in_order(features: Mapping[str, str]) -> dict[str, str]:
    """Features as an index has them, in one order whatever made them first."""
    known = [name for name in NAMES if name in features]
    return {name: features[name] for name in (*known, *(name for name in features if name not in NAMES))}


def _hash_of(source: Location, shard: ShardInfo) -> str:
    """SHA-256 of an input shard: as the index says it, of the first versions' shards as it is."""
    if shard.sha256:
        return shard.sha256
    try:
        with source.fetched(shard.name) as file:
            return hash_file(file)
    except FileNotFoundError:
        return ""
