"""Other schedulers' configs as PeRFlowScheduler's own: diffusers', flow matching's, and the public PeRFlow code's.

What a config says of the noise path is followed or refused, never replaced by a default.
"""

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from fada.diffusion.paths import NoisePath, PredictionType

ReleasedPrediction = Literal["diff_eps", "velocity"]
"""What checkpoints of the public PeRFlow code predict beside noise, see ``released_forms``; their path has betas."""

PATH_KEYS = frozenset(field.name for field in fields(NoisePath))
OWN_KEYS = frozenset({"timestep_offset", "num_windows", "extra_steps", "spacing", "matched"})
"""Settings that no scheduler of diffusers has."""

_PUBLIC_KEYS = frozenset({"num_time_windows", "t_noise", "t_clean"})
_PUBLIC_TYPES = ("ddim_eps", *get_args(ReleasedPrediction))
_FLOW_KEYS = frozenset({"shift", "flow_shift", "use_dynamic_shifting", "invert_sigmas", "use_flow_sigmas"})
_REMARKS = frozenset({"_class_name", "_diffusers_version", "clip_sample", "timestep_spacing", "steps_offset"})
CHANGEABLE = PATH_KEYS | OWN_KEYS | _PUBLIC_KEYS | _FLOW_KEYS | {"timestep_type"}
"""Keys that ``own_config`` reads."""


def own_config(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A config under PeRFlowScheduler's names, with the changes made; keys that say nothing of the path stay.

    Values that were the other class's defaults count too: its default betas are not ours.

    - The public PeRFlow code: ``num_time_windows`` is ``num_windows``, ``ddim_eps`` is ``epsilon``, and networks see
      ``T t`` (``timestep_offset`` 0).
    - Flow matching, whose configs know no betas, and solvers with ``use_flow_sigmas``: ``flow_prediction``, and
      networks see ``T t``.

    Raises:
        ValueError: the config describes a noise path, or times, that cannot be followed.
    """
    config = {key: value for key, value in config.items() if key != "_use_default_values"}
    given = {**_defaults_of_its_class(config), **_public_as_own(config), **_public_as_own(changes)}
    if "shift" in given and "beta_schedule" not in given:
        given = {"timestep_offset": 0, **given, "prediction_type": "flow_prediction"}
    elif given.get("use_flow_sigmas"):
        if given.get("prediction_type") != "flow_prediction":
            said = given.get("prediction_type")
            raise _cannot_follow(given, f"use_flow_sigmas with prediction_type {said!r}", "flow_prediction")
        given = {"timestep_offset": 0, **given}
    _refuse_unlike_times(given)
    NoisePath.from_config(path_config(given))
    foreign = sorted(given.keys() - PATH_KEYS - OWN_KEYS - _REMARKS)
    if foreign and "beta_schedule" not in given and given.get("prediction_type") != "flow_prediction":
        raise _cannot_follow(given, f"no beta_schedule beside {', '.join(foreign)}", "a config with betas")
    return given


def path_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What ``NoisePath`` reads: students that predict ``diff_eps`` or ``velocity`` live on a noise predictor's path."""
    if config.get("prediction_type") in get_args(ReleasedPrediction):
        return {**config, "prediction_type": "epsilon"}
    return dict(config)


def remarks_for_others(prediction_type: str, defaults: list[str]) -> dict[str, Any]:
    """What is saved for other schedulers that load our config, so that they follow our path from the same noise.

    They drop what is listed as a default, so only settings that they do not know may be; DDIM alone would clip
    latents at one and begin at another noise level than ours; solvers would take a flow's path for one with betas.

    Args:
        prediction_type: the scheduler's.
        defaults: names of the arguments that were not given.
    """
    # Where an absent offset means 0 in `own_config`, ours is said.
    means_ours = prediction_type in ("epsilon", "v_prediction", "sample")
    unsaid = OWN_KEYS if means_ours else OWN_KEYS - {"timestep_offset"}
    remarks: dict[str, Any] = {"clip_sample": False, "timestep_spacing": "trailing"}
    if prediction_type == "flow_prediction":
        remarks["use_flow_sigmas"] = True
    return {**remarks, "_use_default_values": [name for name in defaults if name in unsaid]}


def check_prediction_type(prediction_type: str, is_matched: bool) -> None:
    """Raise ValueError for a type that is none, or that matched windows cannot turn."""
    known = (*get_args(PredictionType), *get_args(ReleasedPrediction))
    if prediction_type not in known:
        raise ValueError(
            f"PeRFlowScheduler: prediction_type: got {prediction_type!r}; choose from {', '.join(known)}; "
            "configs of the public PeRFlow code go through from_config"
        )
    if is_matched and prediction_type in get_args(ReleasedPrediction):
        raise ValueError(
            f"PeRFlowScheduler: matched windows ask the network on its noise path, but {prediction_type} is a "
            "prediction of the window; set matched to false"
        )


def _public_as_own(config: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the public PeRFlow code replaced by ours."""
    own = {key: value for key, value in config.items() if key not in _PUBLIC_KEYS}
    if (config.get("t_noise", 1), config.get("t_clean", 0)) != (1, 0):
        raise ValueError(
            "PeRFlowScheduler: windows lie between t_clean 0 and t_noise 1, "
            f"got t_clean {config.get('t_clean', 0)} and t_noise {config.get('t_noise', 1)}"
        )
    if "num_time_windows" in config:
        own["num_windows"] = config["num_time_windows"]
    if config.get("prediction_type") == "ddim_eps":
        own["prediction_type"] = "epsilon"
    if "num_time_windows" in config or config.get("prediction_type") in _PUBLIC_TYPES:
        own.setdefault("timestep_offset", 0)
    return own


def _defaults_of_its_class(config: Mapping[str, Any]) -> dict[str, Any]:
    """The path that a config leaves unsaid, where it names a scheduler of diffusers: that class's own defaults."""
    kind = getattr(diffusers.schedulers, str(config.get("_class_name")), None)
    if not (isinstance(kind, type) and issubclass(kind, SchedulerMixin)):
        return {}
    parameters = inspect.signature(kind).parameters
    return {name: parameters[name].default for name in (PATH_KEYS | {"shift"}) & parameters.keys()}


def _refuse_unlike_times(config: Mapping[str, Any]) -> None:
    """Raise ValueError where steps, or what networks are told of them, are not ours."""
    if config.get("timestep_type", "discrete") != "discrete":
        raise _cannot_follow(config, f"timestep_type {config['timestep_type']!r}", "timestep_type='discrete'")
    if config.get("prediction_type") != "flow_prediction":
        return
    for name in ("shift", "flow_shift"):
        if config.get(name, 1.0) != 1.0:
            raise _cannot_follow(config, f"{name} {config[name]}", f"{name}=1.0, for students of plain time")
    for name in ("use_dynamic_shifting", "invert_sigmas"):
        if config.get(name):
            raise _cannot_follow(config, name, f"{name}=False, for students of plain time")


def _cannot_follow(config: Mapping[str, Any], what: str, instead: str) -> ValueError:
    name = config.get("_class_name", "another scheduler")
    return ValueError(f"PeRFlowScheduler: the config of {name} has {what}, which windows cannot follow; use {instead}")
