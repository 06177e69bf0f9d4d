"""fada: few-step students of guided diffusion models; talking avatars first, any denoiser besides.

A teacher predicts noise (or v, or a flow) under conditions, and is guided: several evaluations a step, dozens of steps.
A student is its copy that takes one straight step or two through each of a few windows of time (PeRFlow), learns from
data as far as the teacher is still a help (FADA's mixed loss), and, a fast one, has the guidance scales inside.

Talking avatars, by recipes and folders:

    fada.train_teacher("tiny/teacher")            a teacher
    fada.distill("tiny/demo")                     its students: a run's folder, gone on with by the same call
    fada.bench("tiny/demo")                       the report: quality, evaluations, latency
    fada.load("runs/demo")                        a pipeline of diffusers
    fada.generate("runs/demo", "me.png", "speech.wav", "me.mp4")

Models of your own, without a recipe:

    fada.adapters.DiffusersDenoiser               a UNet or transformer of diffusers as a denoiser
    fada.Denoiser                                 what any other model must answer: two attributes, four methods
    fada.distill(model, data, steps=2000)         a fada.Student: sample, save, scheduler
    fada.sample(model, noise, conditions)         the undistilled model, guided, for comparison
    fada.Student                                  Student.load(folder, model) opens what distill has saved
    fada.NoisePath                                how clean latents turn into noise, and what the model predicts
    fada.PeRFlowScheduler                         the student's sampler for pipelines of diffusers

Parts of your own:

    fada.Family, fada.Guidance, fada.register     a family of avatars that recipes may name
    fada.register_metric, fada.NotMeasurable      a metric that reports show
    fada.load_recipe, fada.Recipe                 a recipe as a value

Everything is loaded when it is first used; `help(fada.distill)` and the like say the rest. The command line is `fada
--help`; what the formulas are is in docs/method.md.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fada import adapters
    from fada.diffusion.paths import NoisePath
    from fada.diffusion.scheduler import PeRFlowScheduler
    from fada.eval.metrics.not_measurable import NotMeasurable
    from fada.eval.metrics.registered import register_metric
    from fada.family import Denoiser, Family, Guidance, register
    from fada.recipe.loading import load_recipe
    from fada.recipe.schema import Recipe
    from fada.student.own.student import Student, sample
    from fada.verbs import bench, distill, generate, load, train_teacher

__version__ = "0.1.0"

_LIGHT = {
    "bench": "fada.verbs",
    "distill": "fada.verbs",
    "generate": "fada.verbs",
    "load": "fada.verbs",
    "train_teacher": "fada.verbs",
    "Denoiser": "fada.family",
    "Family": "fada.family",
    "Guidance": "fada.family",
    "register": "fada.family",
}
"""Where public names are that load nothing heavy."""
_HEAVY = {
    "NoisePath": "fada.diffusion.paths",
    "NotMeasurable": "fada.eval.metrics.not_measurable",
    "PeRFlowScheduler": "fada.diffusion.scheduler",
    "Recipe": "fada.recipe.schema",
    "Student": "fada.student.own.student",
    "adapters": "fada.adapters",
    "load_recipe": "fada.recipe.loading",
    "register_metric": "fada.eval.metrics.registered",
    "sample": "fada.student.own.student",
}
"""Likewise, of those that load torch, diffusers or pydantic."""

__all__ = [
    "Denoiser",
    "Family",
    "Guidance",
    "NoisePath",
    "NotMeasurable",
    "PeRFlowScheduler",
    "Recipe",
    "Student",
    "adapters",
    "bench",
    "distill",
    "generate",
    "load",
    "load_recipe",
    "register",
    "register_metric",
    "sample",
    "train_teacher",
]


def __getattr__(name: str) -> Any:
    """A public name, loaded when it is first used (PEP 562)."""
    home = _LIGHT.get(name) or _HEAVY.get(name)
    if home is None:
        raise AttributeError(f"module 'fada' has no attribute {name!r}")
    # By its name: who imports the package must not depend on all of it.
    module = importlib.import_module(home)
    found = module if home == f"fada.{name}" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Public names; those that would load torch only where it is loaded, so that `help(fada)` takes no seconds."""
    shown = _LIGHT if "torch" not in sys.modules else _LIGHT | _HEAVY
    return sorted({*globals(), *shown})
