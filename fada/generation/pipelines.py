"""The families' pipelines: a class for each, made of what its family says."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL

from fada.data.audio.features import load_audio_encoder
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.family import Family, families
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.pretrained.networks import read_config
from fada.pretrained.pipelines import INDEX, Component
from fada.pretrained.settings import shortly
from fada.pretrained.shipped import located
from fada.student.guidance import GuidanceLayers
from fada.student.network import EARLIER
from fada.teacher.face_space import FaceSpace

ARGUMENTS = """

Args:
    {networks}: the family's networks.
    scheduler: the noise path, and for a student its windows.
    vae, audio_encoder: None where they were not imported; such a pipeline cannot generate.
    face_space: which portraits it knows; None where nobody has told.
    guidance_layers: of a student that has the guidance scales inside.
    frames, motion_frames, context, fps, size: of a clip, as in the recipe it was trained with.
    steps, guidance, {scales}: defaults of a call.
    is_student: sample as students do, in windows.
    gamma: of a trajectory-consistency student, see `sample_trajectory`; None for any other.
"""


def pipeline_of(family: Family) -> type[AvatarPipeline]:
    """The pipeline class of a family."""
    components = components_of(family)
    settings = family.settings.model_fields
    given = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    given += [
        inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None if is_optional else inspect.Parameter.empty
        )
        for is_optional in (False, True)
        for name, each in components.items()
        if each.is_optional is is_optional
    ]
    given += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=each.default) for name, each in settings.items()
    ]
    signature = inspect.Signature(given)

    def __init__(self: AvatarPipeline, *arguments: Any, **named: Any) -> None:
        bound = signature.bind(self, *arguments, **named)
        bound.apply_defaults()
        values = dict(bound.arguments)
        self._set_up({name: values[name] for name in components}, {name: values[name] for name in settings})

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    told = {
        "networks": ", ".join(family.networks.NETWORKS),
        "scales": ", ".join(f"{n}_scale" for n in family.guidance.names),
    }
    return type(
        family.pipeline,
        (AvatarPipeline,),
        {
            "__init__": __init__,
            "__doc__": f"{family.title}.{ARGUMENTS.format(**told)}",
            "__module__": __name__,
            "family": family,
            "components_table": components,
            "folder_settings": family.settings,
            "needs_face": "face" in family.conditions,
            "needs_keypoints": "keypoints" in family.conditions,
            "needs_emotion": "emotion" in family.conditions,
            "_optional_components": [name for name, each in components.items() if each.is_optional],
        },
    )


def components_of(family: Family) -> dict[str, Component]:
    """What a folder of the family may name as its components, required ones first as their class takes them."""
    networks: Mapping[str, type] = family.networks.NETWORKS
    earlier = {plain: saved for saved, plain in EARLIER.items()}
    own = {name: Component((kind, earlier[kind]) if kind in earlier else (kind,)) for name, kind in networks.items()}
    return {
        "vae": Component((getattr(family.networks, "CODEC", AutoencoderKL),), is_optional=family.is_imported),
        **own,
        "audio_encoder": Component(load=load_audio_encoder, is_optional=family.is_imported),
        "scheduler": Component((PeRFlowScheduler,)),
        "face_space": Component((FaceSpace,), is_optional=True),
        "guidance_layers": Component((GuidanceLayers,), is_optional=True),
    }


class _Pipelines(Mapping[str, type[AvatarPipeline]]):
    """Pipeline classes by the names that `model_index.json` holds; each is made when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[str, type[AvatarPipeline]] = {}

    def __getitem__(self, name: str) -> type[AvatarPipeline]:
        if name not in self._made:
            self._made[name] = pipeline_of(self._families()[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._families())

    def __len__(self) -> int:
        return len(self._families())

    def _families(self) -> dict[str, Family]:
        return {family.pipeline: family for family in families().values()}


PIPELINES = _Pipelines()
DIFFERENCE = "delta.json"
"""What describes a student's difference from its teacher (delta.py), in place of `model_index.json`."""


def __getattr__(name: str) -> type[AvatarPipeline]:
    """`FadaPipeline`, `HalloPipeline` … as names of this module."""
    if name in PIPELINES:
        return PIPELINES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def open_pipeline(folder: str | Path, **options: Any) -> AvatarPipeline:
    """The pipeline that a folder holds (or the one of the package's that is named), of whatever family.

    Raises:
        ValueError: the folder holds no pipeline of this package.
    """
    index = located(Path(folder)) / INDEX
    if not index.is_file():
        what = (
            "a difference from a teacher; load_delta opens it" if (index.parent / DIFFERENCE).is_file() else "no model"
        )
        raise ValueError(f"{folder}: {what} (no {INDEX})")
    return pipeline_class(read_config(index.parent, INDEX), index).from_pretrained(index.parent, **options)


def default_settings(pipeline: type[AvatarPipeline]) -> dict[str, Any]:
    """Settings of a pipeline whose folder says nothing of them."""
    parameters = inspect.signature(pipeline.__init__).parameters.values()
    settings = [each for each in parameters if each.default is not each.empty]
    return {each.name: each.default for each in settings if each.name not in pipeline.components_table}


def pipeline_class(content: Mapping[str, Any], source: Path) -> type[AvatarPipeline]:
    """The class of this package that a `model_index.json` names.

    Raises:
        ValueError: it names none.
    """
    name = content.get("_class_name")
    if not isinstance(name, str) or name not in PIPELINES:
        raise ValueError(f"{source}: a {shortly(name)[1:-1]}; fada opens {', '.join(PIPELINES)}")
    return PIPELINES[name]
