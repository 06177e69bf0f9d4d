"""What of a model's folder is copied into one to share: the files that a model is made of, past no link.

A run may have been downloaded: what lies beside its models, and where its links lead, is nobody's to publish.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from fada.files.errors import FolderFault
from fada.files.folders import check_no_links
from fada.files.shareable import shareable
from fada.files.strict_json import read_table
from fada.generation.pipelines import pipeline_class
from fada.pretrained.networks import CONFIG, CONFIG_BYTES, PREPROCESSOR, SCHEDULER_CONFIG, read_config
from fada.pretrained.pipelines import INDEX, component_folder
from fada.pretrained.weights import read_safetensors

CONFIGS = (CONFIG, SCHEDULER_CONFIG, PREPROCESSOR)
_TENSORS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,150}\.safetensors(\.index\.json)?")


def copy_model(model: Path, out: Path, dtype: torch.dtype | None = None) -> None:
    """Copy a pipeline's folder into `out`: its index, and its components.

    Args:
        dtype: round the weights of networks to it; those of an audio encoder, which runs in float32, stay as they are.

    Raises:
        FolderFault: something in it is a link.
        ModelFolderError: it is no pipeline of this package.
    """
    check_no_links(model)
    index = read_config(model, INDEX)
    components = pipeline_class(index, model / INDEX).components_table
    out.mkdir(parents=True, exist_ok=True)
    _write_config(out / INDEX, index)
    for name in components:
        if (model / name).is_dir():
            named = index.get(name)
            is_network = isinstance(named, list) and named[0] is not None
            copy_component(component_folder(model, name), out / name, dtype if is_network else None)


def copy_component(source: Path, out: Path, dtype: torch.dtype | None = None) -> None:
    """Copy the folder of one component: its configs and its weights; raises FolderFault at a link.

    Args:
        dtype: of the weights; None leaves them as they are.
    """
    check_no_links(source)
    out.mkdir()
    for file in sorted(source.iterdir()):
        if file.name in CONFIGS:
            copy_config(file, out / file.name)
        elif dtype is not None and file.suffix == ".safetensors" and _TENSORS.fullmatch(file.name):
            _write_rounded(file, out / file.name, dtype)
        elif _TENSORS.fullmatch(file.name) and file.is_file():
            shutil.copyfile(file, out / file.name, follow_symlinks=False)


def copy_config(source: Path, out: Path) -> None:
    """Copy a config without what libraries note in it of this machine; raises FolderFault where it is a link."""
    if source.is_symlink():
        raise FolderFault(f"{source}: is a link, it may lead anywhere; replace it by the file itself, or remove it")
    _write_config(out, read_table(source, CONFIG_BYTES))


def _write_rounded(source: Path, out: Path, dtype: torch.dtype) -> None:
    weights = read_safetensors(source)
    rounded = {name: value.to(dtype) if value.is_floating_point() else value for name, value in weights.items()}
    # As diffusers marks what it writes.
    save_file({name: value.contiguous() for name, value in rounded.items()}, str(out), metadata={"format": "pt"})


def shareable_config(content: Mapping[str, Any]) -> dict[str, Any]:
    """A config without the folder that it was read from, and without any other place on this machine."""
    return dict(shareable({key: value for key, value in content.items() if key != "_name_or_path"}))


def _write_config(out: Path, content: Mapping[str, Any]) -> None:
    out.write_text(json.dumps(shareable_config(content), indent=2, sort_keys=True) + "\n", encoding="utf-8")
