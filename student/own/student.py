"""A distilled model of your own: sampling, and its folder; and the sampling of any denoiser, for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, get_args

import torch
from torch import Tensor, nn

from fada.diffusion.guidance import needed_branches
from fada.diffusion.scheduler import PeRFlowScheduler
from fada.diffusion.solvers import Solver
from fada.diffusion.spacing import Spacing, check_spacing, spaced_windows
from fada.diffusion.transfer import moved
from fada.diffusion.windows import ExtraSteps, Windows
from fada.engine.tensor_files import load_tensors, save_tensors
from fada.files.folders import inside, take_folder
from fada.files.strict_json import read_table
from fada.files.whole import write_json
from fada.generation.denoising import ClipDenoiser, Settings
from fada.pretrained.ranges import SCALE, STEPS, Range
from fada.student.own.model import Given, Kind, OwnModel, student_of_own
from fada.student.own.packing import Latents, Layout
from fada.student.own.samples import on_device

KIND = "distilled model"
"""What fada's mark says in the folder of a distillation."""
TOKENS = Range(1, 256, is_whole=True)
WEIGHTS, DESCRIPTION = "student.safetensors", "student.json"


@dataclass(frozen=True)
class Sampler:
    """How a student samples.

    windows, extra_steps, spacing, matched: its windows (method.md, section 4); steps: of a call that says none;
    scales: likewise, by the name of a branch; kind: `balanced`, whose branches are combined outside, or `fast`, which
    has the scales inside; tokens: of a fast student's CFG layers.
    """

    kind: Kind
    windows: int
    steps: int
    scales: Mapping[str, float]
    spacing: Spacing = "time"
    matched: bool = False
    extra_steps: ExtraSteps = "first"
    tokens: int = 4

    def __post_init__(self) -> None:
        # A folder's may come from anyone.
        Windows(self.windows, self.extra_steps, is_matched=self.matched)
        check_spacing(self.spacing)
        if not isinstance(self.matched, bool):
            raise ValueError(f"matched: must be true or false, got {self.matched!r}")
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind: got {self.kind!r}; choose from {', '.join(get_args(Kind))}")
        STEPS.check("steps", self.steps)
        TOKENS.check("tokens", self.tokens)
        for name, scale in self.scales.items():
            SCALE.check(f"scales: {name}", scale)


@dataclass
class Student:
    """A distilled copy of a denoiser.

    model: the copy with what guides it; sampler: how it is sampled.
    """

    model: OwnModel
    sampler: Sampler
    windows: Windows = field(init=False)

    def __post_init__(self) -> None:
        own = self.sampler
        self.windows = spaced_windows(self.model.path, own.windows, own.spacing, own.extra_steps, own.matched)

    @property
    def denoiser(self) -> Any:
        """The trained copy of the denoiser itself, an object of your class."""
        return self.model.denoiser

    @property
    def scheduler(self) -> PeRFlowScheduler:
        """The student's sampler for pipelines of diffusers; a balanced student's scales are the pipeline's."""
        own, path = self.sampler, self.model.path
        return PeRFlowScheduler(
            **path.to_config(),
            num_windows=own.windows,
            extra_steps=own.extra_steps,
            spacing=own.spacing,
            matched=own.matched,
        )

    @torch.no_grad()
    def sample(
        self,
        noise: Latents,
        conditions: Any = None,
        *,
        steps: int | None = None,
        scales: Mapping[str, float] | None = None,
    ) -> Latents:
        """Clean latents from noise (B, ...), in `steps` steps: at least one per window.

        Args:
            noise: at t = 1, standard normal; tensors by name where the latents have several parts.
            conditions: of the B samples, stacked as a batch of the data is.
            steps: None are the student's own.
            scales: of guidance by the name of a branch; those left out are the student's own.

        Returns:
            Latents like the noise, in float32 or better, where the model is.

        Raises:
            ValueError: fewer steps than windows, or a scale of no branch.
        """
        rows = _scales(self.model, {**self.sampler.scales, **(scales or {})})
        clip = ClipDenoiser(self.model, True, self.windows, None)  # type: ignore[arg-type]
        settings = Settings(steps or self.sampler.steps, rows, self._guidance, "ddim", "time", 0)
        return _sampled(clip, self.model, noise, conditions, settings)

    def evaluations(self, steps: int | None = None, scales: Mapping[str, float] | None = None) -> int:
        """Evaluations of the network per sample that such a call takes."""
        rows = _scales(self.model, {**self.sampler.scales, **(scales or {})})
        return (steps or self.sampler.steps) * (1 if self._guidance == "embedded" else len(needed_branches(rows)))

    @property
    def _guidance(self) -> Any:
        return "ladder" if self.model.guidance_layers is None else "embedded"

    def save(self, folder: str | Path) -> Path:
        """Write the student's weights and its sampler into a folder that is new, empty or a student's; the folder.

        Raises:
            FolderFault: the folder holds what fada did not make.
        """
        folder = Path(folder)
        take_folder(folder, KIND)
        # Copies: safetensors refuses weights that a model uses in two places.
        save_tensors({name: value.clone() for name, value in self.model.state_dict().items()}, inside(folder, WEIGHTS))
        layout = None if self.model.layout is None else self.model.layout.shapes
        write_json(inside(folder, DESCRIPTION), {"sampler": asdict(self.sampler), "layout": layout})
        return folder

    @classmethod
    def load(cls, folder: str | Path, denoiser: nn.Module) -> Self:
        """A student out of its folder; `denoiser`, of the class and shape of its teacher, is copied.

        Raises:
            ValueError: the folder holds no student, or one of another model.
        """
        folder = Path(folder)
        try:
            said = read_table(inside(folder, DESCRIPTION))
            sampler, shapes = Sampler(**said["sampler"]), said["layout"]
            layout = None if shapes is None else Layout.read(shapes)
            weights = load_tensors(inside(folder, WEIGHTS))
        except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{folder}: holds no student that fada.distill wrote ({error})") from error
        model = student_of_own(OwnModel(denoiser, layout=layout), sampler.kind, sampler.tokens)
        try:
            in_order(model.branches[1:], sampler.scales, 1.0)
            model.load_state_dict(weights)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{folder}: holds a student of another model ({str(error).splitlines()[0]})") from error
        return cls(model.requires_grad_(False), sampler)


@torch.no_grad()
def sample(
    denoiser: nn.Module,
    noise: Latents,
    conditions: Any = None,
    *,
    steps: int = 25,
    scales: Mapping[str, float] | None = None,
    solver: Solver = "ddim",
    spacing: Spacing = "time",
) -> Latents:
    """Clean latents (B, ...) of an undistilled denoiser, guided branch by branch: what a student is measured against.

    Args:
        denoiser: a module that satisfies `fada.family.Denoiser`.
        noise, conditions: as of `Student.sample`.
        steps: each one batched pass over all branches that the scales need.
        scales: by the name of a branch; those left out are 1, the plain conditional prediction.
        solver: `ddim`, `dpmpp_2m` or `dpmpp_2m_log_snr`.
        spacing: of which clock steps are equal parts: `time`, `log_snr` or `noise_share`.

    Raises:
        ValueError: a scale of no branch, an unknown solver or spacing, or no steps.
    """
    model = OwnModel(denoiser, layout=None if isinstance(noise, Tensor) else _layout_of(noise))
    clip = ClipDenoiser(model, False, Windows(1), None)  # type: ignore[arg-type]
    return _sampled(
        clip, model, noise, conditions, Settings(steps, _scales(model, scales), "ladder", solver, spacing, 0)
    )


def _sampled(clip: ClipDenoiser, model: OwnModel, noise: Latents, conditions: Any, settings: Settings) -> Latents:
    device = next(model.parameters()).device
    packed = noise if model.layout is None else model.layout.pack(noise)
    if not isinstance(packed, Tensor):
        raise ValueError(f"noise: this model's latents are one tensor, got {', '.join(noise)}")
    given = model.inputs_of(Given(len(packed), on_device(conditions, device)))
    rows = settings.scales.expand(len(packed), -1)
    settings = Settings(settings.steps, rows, settings.guidance, settings.solver, settings.spacing, settings.seed)
    made, _ = clip(moved(packed, device), model.prepare(given), settings, 0, None)
    return made if model.layout is None else model.layout.unpack(made)


def _layout_of(noise: Mapping[str, Tensor]) -> Layout:
    return Layout(tuple((name, tuple(part.shape[1:])) for name, part in noise.items()))


def _scales(model: OwnModel, named: Mapping[str, float] | None) -> Tensor:
    """Scales (1, branches - 1) in the order of the branches; those without a value are 1."""
    values = in_order(model.branches[1:], named or {}, 1.0)
    return torch.tensor(values).view(1, -1)


def in_order(names: tuple[str, ...], named: Mapping[str, Any], default: Any) -> list[Any]:
    """What is given by the name of a branch, in their order.

    Raises:
        ValueError: a name is no branch's.
    """
    unknown = [name for name in named if name not in names]
    if unknown:
        known = f"choose from {', '.join(names)}" if names else "this model has no conditions"
        raise ValueError(f"scales: no guidance scale named {unknown[0]!r}; {known}")
    return [named.get(name, default) for name in names]
