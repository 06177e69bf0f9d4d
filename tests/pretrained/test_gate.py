"""The gate: its tables know every class and setting, and nothing of the package goes round it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from fada.data.audio.features import LogMelEncoder
from fada.generation.pipelines import PIPELINES, default_settings
from fada.pretrained.pipelines import address
from fada.pretrained.settings import TABLES, settings_of

ALL = list(PIPELINES.values())
KINDS = {kind for pipeline in ALL for each in pipeline.components_table.values() for kind in each.kinds}
OTHERS = {"fada", "diffusers", "transformers"}


@pytest.mark.parametrize("kind", sorted(KINDS, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_the_table_of_a_class_is_its_signature(kind: Any) -> None:
    if kind.__name__ == "Wav2Vec2Model":
        return
    parameters = {name for name in inspect.signature(kind.__init__).parameters if name not in ("self", "kwargs")}
    known = set(settings_of(kind).model_fields)
    if kind.__name__ == "PeRFlowScheduler":
        assert parameters <= known
    elif kind.__module__.startswith("fada."):
        assert parameters == known
    else:
        assert known <= parameters
    # Our own settings at their defaults are within their own limits.
    settings_of(kind).model_validate({})
    assert address(kind)[0].partition(".")[0] in OTHERS


@pytest.mark.parametrize("pipeline", ALL, ids=lambda kind: kind.__name__)
def test_the_table_of_a_pipeline_is_its_signature(pipeline: Any) -> None:
    parameters = set(inspect.signature(pipeline.__init__).parameters) - {"self"}
    settings = {each for each in parameters if each not in pipeline.components_table}
    assert set(pipeline.components_table) == parameters - settings
    assert set(settings_of(pipeline).model_fields) == settings
    settings_of(pipeline).model_validate(default_settings(pipeline))


def test_a_log_mel_encoder_s_own_settings_are_permitted() -> None:
    TABLES["LogMelEncoder"].model_validate(LogMelEncoder().config())


READS = {
    r"(?<!safetensors\.)torch\.load\(|pickle\.loads?\(|np\.load\((?!.*allow_pickle=False)": {"pretrained/weights.py"},
    r"import_module\(|__import__\(|AutoModel|AutoConfig|trust_remote_code=True|getattr\(torch,": {
        # Modules that families name, which are code themselves: nothing of a folder.
        *("family.py", "__init__.py"),
        # ComfyUI's own, by names that stand in the code.
        "comfyui/host.py",
    },
    r"(?<![A-Za-z])(kind|Wav2Vec2Model|AutoencoderKL|DiffusionPipeline|DDIMScheduler)\.from_pretrained\(": {
        *("pretrained/networks.py", "pretrained/wav2vec2.py"),
    },
    r"safe_open\(": {
        *("pretrained/weights.py", "engine/tensor_files.py", "engine/checkpoint_state.py", "student/target_cache.py"),
    },
    r"yaml\.load\(": {"files/plain_yaml.py"},
}


@pytest.mark.parametrize("pattern", READS)
def test_weights_and_classes_are_opened_by_the_gate_alone(project_root: Path, pattern: str) -> None:
    # fada/student and its like are links to the folders at the top.
    roots = [project_root / name for name in ("fada", "student", "teacher", "eval")]
    found = set()
    for root in roots:
        for file in root.rglob("*.py"):
            if re.search(pattern, file.read_text()):
                place = file.relative_to(project_root).as_posix().removeprefix("fada/")
                found.add(place)
    assert {place for place in found if not place.startswith("recipe/")} == READS[pattern]
