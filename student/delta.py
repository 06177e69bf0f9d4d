"""A student as its difference from its teacher: the folder without a single weight of the teacher's, and back.

`delta` is the plain difference (PeRFlow publishes its students so): teacher + delta = student. In float32 that sum
rounds for some numbers; those are listed beside it, so that the student comes back bit for bit. `lora` is the
difference in low rank (low_rank.py). Parts equal to the teacher's are not written, and taken from it when loading.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from fada import __version__
from fada.data.audio_features import load_audio_encoder
from fada.student.differences import apply_differences, differences
from fada.student.generation import AvatarPipeline
from fada.student.low_rank import PEFT as PEFT_PREFIX
from fada.student.low_rank import LowRank, adapter_config, apply_low_rank, low_rank, rank_that_keeps, share_kept
from fada.student.part_weights import Weights, are_equal, fingerprint, read_weights
from fada.student.pipeline import DIFFERENCE, PIPELINES

Form = Literal["delta", "lora"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
VERSION = 1
DELTA, CORRECTIONS = "delta.safetensors", "corrections.safetensors"
ADAPTER, WHOLE = "adapter_model.safetensors", "whole.safetensors"
LIBRARIES = ("fada", "diffusers", "transformers")
"""Whose classes a folder may name."""


class DeltaError(ValueError):
    """A difference that cannot be made, or does not fit the teacher it is given."""


@dataclass(frozen=True)
class Part:
    """What became of a part: `taken` from the teacher, written `whole`, or as a `difference`.

    type: of its weights; changed, new: tensors; bytes: on disk, of weights; kept: for low rank, the share of the
    difference's energy (sum of squares, over linear and convolutional weights) that the factors hold.
    """

    kind: Literal["taken", "whole", "difference"]
    type: str = ""
    changed: int = 0
    new: int = 0
    bytes: int = 0
    kept: float | None = None


def write_delta(
    model: Path,
    teacher: Path,
    out: Path,
    *,
    form: Form = "delta",
    dtype: Literal["fp32", "bf16"] = "fp32",
    rank: int = 32,
    keep: float = 0.5,
) -> dict[str, Part]:
    """Write the model in a folder as its difference from its teacher's; says what became of each part.

    Args:
        dtype: of differences and factors; tensors that the teacher lacks keep the student's type.
        keep: refuse a rank that holds less of any part's difference, as a share of its energy.

    Raises:
        DeltaError: nothing differs, shapes or types do not fit, or the rank keeps too little.
    """
    index = json.loads((model / "model_index.json").read_text())
    base_index = json.loads((teacher / "model_index.json").read_text())
    out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Part] = {}
    marks: dict[str, str] = {}
    low: dict[str, LowRank] = {}
    for name in [name for name, kind in index.items() if isinstance(kind, list) and (model / name).is_dir()]:
        own, base = read_weights(model / name), read_weights(teacher / name)
        is_same = are_equal(own, base) and index[name] == base_index.get(name)
        if not own or not base or (index[name][0] is None and not is_same):
            shutil.copytree(model / name, out / name)
            parts[name] = Part("whole", new=len(own), bytes=_bytes(out / name))
            continue
        marks[name] = fingerprint(base)
        if is_same and _settings(model / name) == _settings(teacher / name):
            parts[name] = Part("taken")
        elif form == "lora":
            kind = _begin(model / name, out / name, own, base)
            low[name] = low_rank(base, own, rank, DTYPES[dtype])
            parts[name] = _write_low_rank(out / name, low[name], kind, base, rank)
        else:
            kind = _begin(model / name, out / name, own, base)
            parts[name] = _write_differences(out / name, own, kind, base, DTYPES[dtype])
    if not any(part.changed + part.new for part in parts.values() if part.kind == "difference"):
        raise DeltaError(f"{model}: does not differ from {teacher}; there is nothing to export as {form}")
    _check_kept(model, low, rank, keep)
    told = {
        "version": VERSION, "fada": __version__, "form": form, "dtype": dtype,
        "rank": rank if form == "lora" else None, "kept": share_kept(low.values(), rank) if low else None,
        "parts": {name: asdict(part) for name, part in parts.items()},
        "teacher": {"fingerprint": _of_all(marks), "parts": marks}, "pipeline": index,
    }  # fmt: skip
    (out / DIFFERENCE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return parts


def load_delta(folder: str | Path, teacher_folder: str | Path) -> AvatarPipeline:
    """The student whose difference a folder holds, on the teacher that it was made from.

    The teacher's weights are hashed first: some seconds at full size.

    Raises:
        DeltaError: no difference is there, it is of a newer version, or the teacher is another one.
    """
    folder, teacher_folder = Path(folder), Path(teacher_folder)
    told = read_delta(folder)
    index, marks = told["pipeline"], told["teacher"]["parts"]
    bases = {part: read_weights(teacher_folder / part) for part in marks}
    found = {part: fingerprint(weights) for part, weights in bases.items()}
    if found != marks:
        differing = ", ".join(part for part in marks if found[part] != marks[part])
        raise DeltaError(
            f"{teacher_folder}: is not the teacher of {folder}: that has fingerprint {told['teacher']['fingerprint']}, "
            f"this one {_of_all(found)}; their {differing} differ; give the folder that the student was distilled from"
        )
    components: dict[str, Any] = {name: None for name, kind in index.items() if isinstance(kind, list)}
    for name, part in told["parts"].items():
        if part["kind"] == "difference":
            weights = _merged(folder / name, bases[name], told["form"])
            network = _class(folder, index[name]).from_config(json.loads((folder / name / "config.json").read_text()))
            if part["type"] != "float32":
                network.to(getattr(torch, part["type"]))
            network.load_state_dict(weights)
            components[name] = network.eval()
        else:
            components[name] = _load((teacher_folder if part["kind"] == "taken" else folder) / name, index[name])
    return PIPELINES[index["_class_name"]].from_config(index, **components)


def read_delta(folder: Path) -> dict[str, Any]:
    """What a folder's `delta.json` says.

    Raises:
        DeltaError: there is none, or a newer fada wrote it.
    """
    file = folder / DIFFERENCE
    if not file.is_file():
        raise DeltaError(f"{file}: no such file; a student's difference is made by fada export RUN --as delta")
    told = json.loads(file.read_text(encoding="utf-8"))
    if told["version"] != VERSION:
        raise DeltaError(f"{file}: has version {told['version']}, this fada reads {VERSION}; install {told['fada']}")
    return told


def _write_differences(folder: Path, own: Weights, kind: str, base: Weights, dtype: torch.dtype) -> Part:
    written, corrections = differences(own, base, dtype)
    save_file(written, str(folder / DELTA))
    if corrections:
        save_file(corrections, str(folder / CORRECTIONS))
    new = sum(name not in base for name in written)
    return Part("difference", kind, len(written) - new, new, _bytes(folder))


def _write_low_rank(folder: Path, low: LowRank, kind: str, base: Weights, rank: int) -> Part:
    save_file({PEFT_PREFIX + name: value for name, value in low.factors.items()}, str(folder / ADAPTER))
    save_file(low.whole, str(folder / WHOLE))
    (folder / "adapter_config.json").write_text(json.dumps(adapter_config(low.factors, rank), indent=2) + "\n")
    new = sum(name not in base for name in low.whole)
    changed = len(low.spectra) + len(low.whole) - new
    return Part("difference", kind, changed, new, _bytes(folder), share_kept([low], rank))


def _merged(folder: Path, base: Weights, form: Form) -> Weights:
    if form == "lora":
        adapter = load_file(str(folder / ADAPTER))
        factors = {name.removeprefix(PEFT_PREFIX): value for name, value in adapter.items()}
        return apply_low_rank(base, factors, load_file(str(folder / WHOLE)))
    corrections = folder / CORRECTIONS
    return apply_differences(
        base, load_file(str(folder / DELTA)), load_file(str(corrections)) if corrections.is_file() else {}
    )


def _begin(model: Path, out: Path, own: Weights, base: Weights) -> str:
    """Start a part's folder with its config; returns the one type of its weights.

    Raises:
        DeltaError: shapes differ, or there are several types.
    """
    for name, value in own.items():
        if name in base and base[name].shape != value.shape:
            raise DeltaError(
                f"{model}: {name} is {tuple(value.shape)}, the teacher's {tuple(base[name].shape)}; "
                "export this student with --as full"
            )
    types = sorted({str(value.dtype).removeprefix("torch.") for value in own.values()})
    if len(types) > 1:
        raise DeltaError(f"{model}: has weights of types {', '.join(types)}, one is needed; export with --as full")
    out.mkdir()
    shutil.copyfile(model / "config.json", out / "config.json")
    return types[0]


def _check_kept(model: Path, low: dict[str, LowRank], rank: int, keep: float) -> None:
    lost = {name: kept for name, part in low.items() if (kept := share_kept([part], rank)) < keep}
    if lost:
        said = ", ".join(f"{kept:.2f} of {name}'s" for name, kept in lost.items())
        enough, most = (rank_that_keeps(list(low.values()), share) for share in (keep, 0.9))
        raise DeltaError(
            f"{model}: rank {rank} keeps {said} difference (share of its energy), less than {keep:g}; "
            f"rank {enough} keeps that, rank {most} keeps 0.9: give another --rank, a lower --keep, or --as delta"
        )


def _settings(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text())
    return {key: value for key, value in config.items() if not key.startswith("_")}


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _of_all(marks: dict[str, str]) -> str:
    """One fingerprint of several parts'."""
    return hashlib.sha256(json.dumps(marks, sort_keys=True).encode()).hexdigest()[:16]


def _class(folder: Path, kind: list[str]) -> Any:
    library, name = kind
    if library.partition(".")[0] not in LIBRARIES:
        raise DeltaError(
            f"{folder / DIFFERENCE}: names {library}.{name}; parts may come from {', '.join(LIBRARIES)} only"
        )
    return getattr(importlib.import_module(library), name)


def _load(folder: Path, kind: list[str | None]) -> Any:
    """A part that a folder holds whole; the audio encoder, which is none of diffusers' classes, is listed as null."""
    library, name = kind
    if library is None or name is None:
        return load_audio_encoder(folder)
    return _class(folder.parent, [library, name]).from_pretrained(str(folder))
