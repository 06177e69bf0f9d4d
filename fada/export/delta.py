"""A student as its difference from its teacher: the folder without a single weight of the teacher's, and back.

`delta` is the plain difference (PeRFlow publishes its students so): teacher + delta = student. In float32 that sum
rounds for some numbers; those are listed beside it, so that the student comes back bit for bit. `lora` is the
difference in low rank (low_rank.py). Parts equal to the teacher's are not written, and taken from it when loading.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors.torch import save_file

from fada import __version__
from fada.export.delta_description import VERSION, DeltaError, read_delta
from fada.export.differences import ForeignDifference, apply_differences, differences
from fada.export.low_rank import PEFT as PEFT_PREFIX
from fada.export.low_rank import LowRank, adapter_config, apply_low_rank, low_rank, rank_that_keeps, share_kept
from fada.export.part_weights import Weights, are_equal, read_weights
from fada.export.shared_folder import copy_component, copy_config, shareable_config
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.generation.fitting import check_parts
from fada.generation.pipelines import DIFFERENCE, PIPELINES, pipeline_class
from fada.pretrained.hub import model_folder
from fada.pretrained.networks import check_fit, read_component, read_config
from fada.pretrained.pipelines import INDEX, check_index, component_folder
from fada.pretrained.weight_hash import weights_hash
from fada.pretrained.weights import read_safetensors

Form = Literal["delta", "lora"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
DELTA, CORRECTIONS = "delta.safetensors", "corrections.safetensors"
ADAPTER, WHOLE = "adapter_model.safetensors", "whole.safetensors"
WEIGHT_TYPES = {
    "float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16,
}  # fmt: skip
"""What weights may be, by torch's names."""


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
    index, base_index = (_index_of(folder) for folder in (model, teacher))
    out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Part] = {}
    marks: dict[str, str] = {}
    low: dict[str, LowRank] = {}
    for name in [name for name, kind in index.items() if isinstance(kind, list) and (model / name).is_dir()]:
        component_folder(model, name)
        own, base = read_weights(model / name), read_weights(teacher / name)
        is_same = are_equal(own, base) and index[name] == base_index.get(name)
        if not own or not base or (index[name][0] is None and not is_same):
            copy_component(model / name, out / name)
            parts[name] = Part("whole", new=len(own), bytes=_bytes(out / name))
            continue
        marks[name] = weights_hash(base, "tensors")
        if is_same and _settings(model / name) == _settings(teacher / name):
            parts[name] = Part("taken")
        elif form == "lora":
            kind = _begin(model / name, out / name, own, base)
            low[name] = low_rank(base, own, rank, DTYPES[dtype])
            parts[name] = _write_low_rank(out / name, low[name], kind, base, rank)
        else:
            kind = _begin(model / name, out / name, own, base)
            parts[name] = _write_differences(out / name, own, kind, base, DTYPES[dtype])
    if not any(part.changed + part.new for part in parts.values() if part.kind != "taken"):
        raise DeltaError(f"{model}: does not differ from {teacher}; there is nothing to export as {form}")
    _check_kept(model, low, rank, keep)
    told = {
        "version": VERSION, "fada": __version__, "form": form, "dtype": dtype,
        "rank": rank if form == "lora" else None, "kept": share_kept(low.values(), rank) if low else None,
        "parts": {name: asdict(part) for name, part in parts.items()},
        "teacher": {"fingerprint": _of_all(marks), "parts": marks}, "pipeline": shareable_config(index),
    }  # fmt: skip
    (out / DIFFERENCE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return parts


def load_delta(folder: str | Path, teacher_folder: str | Path) -> AvatarPipeline:
    """The student whose difference a folder holds, on the teacher that it was made from.

    The teacher's weights are hashed first: some seconds at full size.

    Raises:
        DeltaError: no difference is there, it is of a newer version, or the teacher is another one.
    """
    folder, teacher_folder = model_folder(Path(folder)), model_folder(Path(teacher_folder))
    told = read_delta(folder)
    index, marks = told["pipeline"], told["teacher"]["parts"]
    bases = {part: read_weights(teacher_folder / part) for part in marks}
    found = {part: weights_hash(weights, "tensors") for part, weights in bases.items()}
    if found != marks:
        differing = ", ".join(part for part in marks if found[part] != marks[part])
        raise DeltaError(
            f"{teacher_folder}: is not the teacher of {folder}: that has fingerprint {told['teacher']['fingerprint']}, "
            f"this one {_of_all(found)}; their {differing} differ; give the folder that the student was distilled from"
        )
    pipeline = PIPELINES[index["_class_name"]]
    checked = check_index(index, folder / DIFFERENCE, pipeline, pipeline.components_table)
    components: dict[str, Any] = dict.fromkeys(checked.kinds)
    for name, part in told["parts"].items():
        if part["kind"] == "difference":
            components[name] = _rebuilt(folder, name, checked.kinds[name], bases[name], told["form"], part["type"])
        else:
            source = component_folder(teacher_folder if part["kind"] == "taken" else folder, name)
            components[name] = pipeline.components_table[name].open(source, checked.kinds[name], None, None)
    built = pipeline(**components, **checked.settings)
    check_parts(built, folder)
    return built


def _rebuilt(folder: Path, name: str, kind: type | None, base: Weights, form: Form, dtype: str) -> Any:
    """A network of the teacher's weights and what a part's folder says of their difference."""
    source = component_folder(folder, name)
    if kind is None:
        raise DeltaError(f"{folder / DIFFERENCE}: {name} is none of diffusers' networks and cannot be a difference")
    _, settings = read_component(source, [kind])
    weights = _merged(source, base, form)
    check_fit(source, kind, settings, {key: tuple(value.shape) for key, value in weights.items()})
    network = cast(Any, kind(**settings))
    if dtype not in ("", "float32"):
        network.to(WEIGHT_TYPES[dtype])
    network.load_state_dict(weights)
    return network.eval()


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
    try:
        if form == "lora":
            adapter = read_safetensors(folder / ADAPTER)
            factors = {name.removeprefix(PEFT_PREFIX): value for name, value in adapter.items()}
            return apply_low_rank(base, factors, read_safetensors(folder / WHOLE))
        corrections = folder / CORRECTIONS
        found = read_safetensors(corrections) if corrections.is_file() else {}
        return apply_differences(base, read_safetensors(folder / DELTA), found)
    except (ForeignDifference, FileNotFoundError) as error:
        raise DeltaError(f"{folder}: {error}; copy or fetch the folder again") from error


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
    copy_config(model / "config.json", out / "config.json")
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


def _index_of(folder: Path) -> dict[str, Any]:
    """The index of a whole pipeline of this package, checked."""
    content, file = read_config(folder, INDEX), folder / INDEX
    kind = pipeline_class(content, file)
    check_index(content, file, kind, kind.components_table)
    return content


def _settings(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    return {key: value for key, value in config.items() if not key.startswith("_")}


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _of_all(marks: dict[str, str]) -> str:
    """One fingerprint of several parts'."""
    return hashlib.sha256(json.dumps(marks, sort_keys=True).encode()).hexdigest()[:16]
