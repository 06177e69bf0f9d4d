"""What is damaged beside media, and how it is read: recipes, thresholds, lists, shards, folders of clips, and models.

A case is a folder `NUMBER-KIND` with copies of good files, some of them damaged. Reading goes through what the verbs
call; it may write into `out` beside the case, and nowhere else.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import tarfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from file_mutations import damage_bytes, damage_tree, word

SIZE, FRAMES = 32, 8
OUT = "out"


def make_seeds(folder: Path) -> None:
    """Good files of every kind, small: a recipe, a list, clips, shards of them with features, a teacher, a student."""
    import torch

    from fada.data.audio.features import LogMelEncoder
    from fada.data.shards.reading import read_shards, write_shards
    from fada.data.world import make_world
    from fada.diffusion.paths import NoisePath
    from fada.diffusion.scheduler import PeRFlowScheduler
    from fada.export.delta import write_delta
    from fada.generation.pipelines import FadaPipeline
    from fada.recipe.shipped import THRESHOLDS, shipped_recipes
    from fada.run.data import encode_samples
    from fada.student.copies import student_of
    from fada.teacher.dual_unet.audio_projection import AudioProjection
    from fada.teacher.dual_unet.model import DualUNet
    from fada.teacher.dual_unet.unets import DenoisingUNet, ReferenceUNet
    from fada.teacher.vae import new_vae

    torch.manual_seed(0)
    for name in ("tiny/demo", "sd15/fast", "ablations/tcd"):
        copy_into(shipped_recipes()[name], folder / "recipes" / f"{name.replace('/', '-')}.yaml")
    copy_into(THRESHOLDS / "strict.yaml", folder / "thresholds" / "strict.yaml")
    (folder / "lists").mkdir()
    clip = {"ytb_id": "M2Ohb0FAaJU", "duration": {"start_sec": 0.0, "end_sec": 0.2},
            "bbox": {"top": 0.0, "bottom": 0.8, "left": 0.1, "right": 0.6},
            "attributes": {"appearance": [0, 1], "emotion": {"labels": "neutral"}}}  # fmt: skip
    names = {"appearance_mapping": ["blurry", "bald"], "action_mapping": []}
    (folder / "lists" / "celebvhq_info.json").write_text(json.dumps({"meta_info": names, "clips": {"M_1": clip}}))
    make_world(folder / "clips", 2, size=SIZE, frames=FRAMES, flawed_share=0.5, test_clips=1)
    vae, encoder = new_vae((8, 16), 4), LogMelEncoder(3)
    made = folder / "made"
    write_shards(_samples(folder / "clips"), made, 3)
    write_shards(
        encode_samples(read_shards(made), vae, encoder, keeps=("frames", "audio")), folder / "shards", 3, {"vae": "x"}
    )
    shutil.rmtree(made)
    scheduler = PeRFlowScheduler(
        prediction_type="v_prediction", beta_schedule="linear", rescale_betas_zero_snr=True, num_windows=4
    )
    shape: dict[str, Any] = {"channels": (8, 16), "layers_per_block": 1, "heads": 2, "norm_groups": 4,
                             "attention_levels": (False, True), "temporal_levels": (True, True)}  # fmt: skip
    teacher = DualUNet(
        ReferenceUNet(**shape), DenoisingUNet(**shape, audio_dim=8, max_frames=16), AudioProjection(5, 1, 12, 16, 2, 8),
        NoisePath.from_config(scheduler.config),
    )  # fmt: skip
    student = student_of(teacher, "tokens", 2)
    for name, network in (("teacher", teacher), ("student", student)):
        FadaPipeline(
            vae, network.reference_unet, network.denoising_unet, network.audio_projection, encoder, scheduler,
            guidance_layers=network.guidance_layers,
            frames=4, motion_frames=2, size=SIZE, steps=4, is_student=name == "student", audio_scale=3.0,
            reference_scale=2.0,
        ).save_pretrained(str(folder / name))  # fmt: skip
    write_delta(folder / "student", folder / "teacher", folder / "delta")


def _samples(clips: Path) -> Any:
    from fada.data.clips.clip import list_clips, read_clip
    from fada.data.clips.sample_keypoints import with_keypoints
    from fada.data.shards.reading import Sample

    for key in list_clips(clips):
        clip = read_clip(clips, key)
        yield from with_keypoints([Sample(key, clip.meta, clip.frames, clip.audio)])


def copy_into(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


# Building: a kind's good files into the case's folder, then the damage; returns the name of the damage.


def build_recipe(seeds: Path, case: Path, choose: random.Random, canary: str) -> str:
    return _damage_yaml(choose.choice(sorted((seeds / "recipes").iterdir())), case / "mine.yaml", choose, canary)


def build_thresholds(seeds: Path, case: Path, choose: random.Random, canary: str) -> str:
    return _damage_yaml(seeds / "thresholds" / "strict.yaml", case / "mine.yaml", choose, canary)


def build_override(seeds: Path, case: Path, choose: random.Random, canary: str) -> str:
    paths = (
        "seed",
        "output",
        "name",
        "engine.ema",
        "clip",
        "distill.phases.0.name",
        "data.world.frames",
        "vae.channels",
    )
    value = word(choose, canary) if choose.random() < 0.5 else json.dumps(_tree(choose, canary), default=str)
    raw, way = damage_bytes(f"{choose.choice(paths)}={value}".encode("utf-8", "replace"), choose, canary)
    (case / "override").write_bytes(raw)
    return way


def build_list(seeds: Path, case: Path, choose: random.Random, canary: str) -> str:
    return _damage_json(seeds / "lists" / "celebvhq_info.json", case / "celebvhq_info.json", choose, canary)


def build_clips(seeds: Path, case: Path, choose: random.Random, canary: str) -> str:
    shutil.copytree(seeds / "clips", case / "clips")
    records = sorted(file for file in (case / "clips").glob("[!.]*.json"))
    file = choose.choice(records)
    if file.name != "world.json" and choose.random() < 0.7:
        # What names files and folders, more often than the rest.
        record = json.loads(file.read_text())
        record["meta"][choose.choice(("split", "identity", "quality", "filter", "flaws"))] = word(choose, canary)
        file.write_text(json.dumps(record))
        return "swap_word"
    return _damage_json(file, file, choose, canary)


def build_index(seeds: Path, case: Path, choose: random.Random, canary: str) -> str:
    shutil.copytree(seeds / "shards", case / "shards")
    return _damage_json(case / "shards" / "index.json", case / "shards" / "index.json", choose, canary)


def build_table(seeds: Path, case: Path, choose: random.Random, canary: str) -> str:
    """A table of samples that was damaged: its header, or the numbers in it."""
    shutil.copytree(seeds / "shards", case / "shards")
    (file,) = (case / "shards").glob("samples-*.safetensors")
    data = file.read_bytes()
    length = 8 + int.from_bytes(data[:8], "little")
    if choose.random() < 0.3:
        header = json.loads(data[8:length])
        way = damage_tree(header, choose, canary)
        told = json.dumps(header).encode("utf-8", "surrogatepass")
        file.write_bytes(len(told).to_bytes(8, "little") + told + data[length:])
        return way
    if choose.random() < 0.5:
        # Numbers alone: the file stays a table.
        damaged = bytearray(data)
        for _ in range(choose.randint(1, 8)):
            damaged[choose.randrange(length, len(data))] = choose.choice((0, 1, 127, 255))
        file.write_bytes(damaged)
        return "numbers"
    damaged, way = damage_bytes(data, choose, canary)
    file.write_bytes(damaged)
    return way


def build_members(seeds: Path, case: Path, choose: random.Random, canary: str) -> str:
    """A shard whose sender knows the format: hashes in its records and in the index fit what was damaged."""
    (case / "shards").mkdir()
    index = json.loads((seeds / "shards" / "index.json").read_text())
    (shard,) = index["shards"]
    members = _members(seeds / "shards" / shard["name"])
    name = choose.choice(sorted(members))
    if name.endswith(".json") and choose.random() < 0.7:
        record = json.loads(members[name])
        way = damage_tree(record, choose, canary)
        members[name] = json.dumps(record).encode("utf-8", "surrogatepass")
    else:
        members[name], way = damage_bytes(members[name], choose, canary)
        _sign(members, name)
    renamed = {name: word(choose, canary) + ".json"} if choose.random() < 0.1 else {}
    data = _tar(members, renamed, choose, canary)
    if choose.random() < 0.2:
        data, way = damage_bytes(data, choose, canary)
    digest = hashlib.sha256(data).hexdigest()
    shard |= {"name": f"shard-000000-{digest[:12]}.tar", "bytes": len(data), "sha256": digest}
    (case / "shards" / shard["name"]).write_bytes(data)
    (case / "shards" / "index.json").write_text(json.dumps(index))
    return way


def build_model(seeds: Path, case: Path, choose: random.Random, canary: str) -> str:
    return _damage_model(seeds / "student", case / "student", choose, canary)


def build_delta(seeds: Path, case: Path, choose: random.Random, canary: str) -> str:
    return _damage_model(seeds / "delta", case / "delta", choose, canary)


BUILD: dict[str, Callable[[Path, Path, random.Random, str], str]] = {
    name.removeprefix("build_"): build
    for name, build in (
        ("build_recipe", build_recipe), ("build_override", build_override), ("build_thresholds", build_thresholds),
        ("build_list", build_list), ("build_clips", build_clips), ("build_index", build_index),
        ("build_table", build_table), ("build_members", build_members), ("build_model", build_model),
        ("build_delta", build_delta),
    )
}  # fmt: skip


def _tree(choose: random.Random, canary: str) -> Any:
    tree: dict[str, Any] = {"a": [1, {"b": "c"}], "d": 0.5}
    damage_tree(tree, choose, canary)
    return tree


def _damage_yaml(source: Path, target: Path, choose: random.Random, canary: str) -> str:
    if choose.random() < 0.4:
        data, way = damage_bytes(source.read_bytes(), choose, canary)
        target.write_bytes(data)
        return way
    tree = yaml.safe_load(source.read_text(encoding="utf-8"))
    way = damage_tree(tree, choose, canary)
    try:
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=choose.random() < 0.5)
    except (yaml.YAMLError, RecursionError):
        text = "a: " + "[" * 500
    target.write_bytes(text.encode("utf-8", "surrogatepass"))
    return way


def _damage_json(source: Path, target: Path, choose: random.Random, canary: str) -> str:
    data = source.read_bytes()
    if choose.random() < 0.3:
        data, way = damage_bytes(data, choose, canary)
    else:
        tree = json.loads(data)
        way = damage_tree(tree, choose, canary)
        data = _dumped(tree)
    target.write_bytes(data)
    return way


def _dumped(tree: Any) -> bytes:
    try:
        return json.dumps(tree).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b"[" * 5000


def _damage_model(source: Path, target: Path, choose: random.Random, canary: str) -> str:
    shutil.copytree(source, target)
    # Code that must never run, where libraries would look for it.
    for place in (target, target / "vae"):
        if place.is_dir():
            (place / "evil.py").write_text(f"open({canary!r}, 'w').write('ran')\nclass Evil: pass\n")
    files = sorted(file for file in target.rglob("*") if file.is_file() and file.suffix in (".json", ".safetensors"))
    described = [file for file in files if file.suffix == ".json"]
    file = choose.choice(described if choose.random() < 0.8 else files)
    if file.suffix == ".json":
        way = _damage_json(file, file, choose, canary)
    else:
        data, way = damage_bytes(file.read_bytes(), choose, canary)
        file.write_bytes(data)
    if choose.random() < 0.1:
        _add_code(target / "model_index.json", choose)
        way = "code"
    return way


def _add_code(index: Path, choose: random.Random) -> None:
    if not index.is_file():
        return
    try:
        content = json.loads(index.read_bytes())
        content["vae"] = choose.choice((["evil", "Evil"], ["transformers", "AutoModel"], ["os", "system"]))
        index.write_bytes(_dumped(content))
    except (ValueError, TypeError, RecursionError):
        return


def _members(shard: Path) -> dict[str, bytes]:
    with tarfile.open(shard) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]


def _sign(members: dict[str, bytes], name: str) -> None:
    """Put a member's new hash into its sample's record."""
    key, _, suffix = name.partition(".")
    if suffix == "json":
        return
    record = json.loads(members[f"{key}.json"])
    record["members"][suffix] = hashlib.sha256(members[name]).hexdigest()
    members[f"{key}.json"] = json.dumps(record).encode()


def _tar(members: dict[str, bytes], renamed: dict[str, str], choose: random.Random, canary: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=choose.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))) as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(renamed.get(name, name).replace("\0", "?"))
            entry.size = len(data)
            if choose.random() < 0.02:
                entry.type = choose.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE))
                entry.linkname, entry.size = canary, 0
            try:
                tar.addfile(entry, io.BytesIO(data) if entry.isfile() else None)
            except (ValueError, UnicodeError):
                continue
    return buffer.getvalue()


# Reading, as the verbs do.


def read_case(case: Path, _: bool) -> tuple[str, str]:
    """Read a case; `refused` where an error came that a user is told, `error` where it was any other."""
    from fada.cli.failures import expected_message

    kind = case.name.partition("-")[2]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            READ[kind](case)
    except Exception as error:
        message = expected_message(error)
        if message is None:
            raise
        return "refused", message[:300]
    return "read", ""


def read_recipe(case: Path) -> None:
    from fada.recipe import dump_recipe, load_recipe
    from fada.recipe.paths import missing_paths

    recipe = load_recipe(case / "mine.yaml")
    missing_paths(recipe)
    (case.parent / OUT / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(case.parent / OUT / "recipe.yaml") == recipe


def read_override(case: Path) -> None:
    from fada.recipe import load_recipe

    load_recipe("tiny/smoke", [(case / "override").read_bytes().decode("utf-8", "replace")])


def read_thresholds(case: Path) -> None:
    from fada.data.scores.thresholds import load_thresholds

    load_thresholds(case / "mine.yaml")


def read_listed(case: Path) -> None:
    from fada.data.lists import cut_list, read_list

    listed = read_list(case / "celebvhq_info.json")
    videos = case / "videos"
    videos.mkdir()
    (videos / "M2Ohb0FAaJU.mp4").write_bytes(b"no video")
    cut_list(listed, videos, case.parent / OUT / "cuts")


def read_clips(case: Path) -> None:
    from fada.data.sampling.splits import split_clips
    from fada.data.world import make_world
    from fada.packing.shards import shard_clips

    out = case.parent / OUT
    try:
        make_world(case / "clips", 2, size=SIZE, frames=FRAMES, flawed_share=0.5, test_clips=1)
    finally:
        shard_clips(case / "clips", out / "shards", takes_all=True)
        split_clips(case / "clips", 0.5)
        shard_clips(case / "clips", out / "shards", takes_all=True, overwrite=True)


def read_shards(case: Path) -> None:
    from fada.cli.inspection import contact_sheet_of, summary
    from fada.data.sampling.clip_source import DamagedClip
    from fada.data.sampling.dataset import BatchShape, ClipSampler
    from fada.data.shards.reading import read_shards as read
    from fada.recipe import load_recipe
    from fada.run.stored_features import holds_features, load_latents

    for _ in read(case / "shards"):
        pass
    summary(case / "shards")
    contact_sheet_of(case / "shards", 2)
    holds_features(load_recipe("tiny/smoke", [f"data={{train_shards: {case}/shards, test_shards: x}}", "vae.path=x"]))
    clips = load_latents(case / "shards", keypoints=True)
    for number in range(len(clips)):
        with suppress(DamagedClip):
            clips.read(number)
    ClipSampler(clips, 2, 1, 1).batch(0, BatchShape(4))


def read_model(case: Path) -> None:
    from fada.generation.pipelines import open_pipeline

    _generate(open_pipeline(case / "student"))


def read_delta(case: Path) -> None:
    from fada.export.delta import load_delta

    _generate(load_delta(case / "delta", case.parent / "seeds" / "teacher"))


def _generate(pipeline: Any) -> None:
    pipeline(np.full((SIZE, SIZE, 3), 90, np.uint8), np.zeros(1280, np.float32))


READ: dict[str, Callable[[Path], None]] = {
    "recipe": read_recipe, "override": read_override, "thresholds": read_thresholds, "list": read_listed,
    "clips": read_clips, "index": read_shards, "table": read_shards, "members": read_shards, "model": read_model,
    "delta": read_delta,
}  # fmt: skip
assert READ.keys() == BUILD.keys()
