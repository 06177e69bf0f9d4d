"""Recipe to what `fada bench --speed` measures: networks of its shape, with random weights or a teacher's own."""

from __future__ import annotations

import copy
import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL
from rich.console import Console
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2Model, WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from fada.assembly.models import audio_encoder, new_teacher, pipeline
from fada.assembly.settings import default_scales, default_steps, distill_settings, recompute
from fada.data.audio.features import AudioEncoder, Wav2Vec2Encoder, WhisperAudioEncoder
from fada.data.clips.clip import list_clips, read_clip
from fada.data.clips.emotion import emotion_of
from fada.data.clips.face import FaceClues
from fada.data.clips.keypoints import Keypoints
from fada.data.clips.sample_emotion import sample_emotion
from fada.data.sampling.dataset import BatchShape, ClipSampler, LatentClip
from fada.data.shards.reading import Sample, read_shards
from fada.data.world import make_world
from fada.diffusion.spacing import spaced_windows
from fada.eval.bench.environment import environment
from fada.eval.speed.clips import ClipWork, measure_clips
from fada.eval.speed.endpoints import COMPARED, EndpointErrors, EndpointSamples, endpoint_errors
from fada.eval.speed.machine import peak_rate
from fada.eval.speed.once import FullStep, run_once
from fada.eval.speed.passes import measure_passes
from fada.eval.speed.public_way import public_way
from fada.eval.speed.report import SpeedReport
from fada.eval.speed.steps import StepsSetting, measure_steps, training_steps
from fada.export.opening import find_teacher
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.generation.pipelines import open_pipeline
from fada.recipe.errors import RecipeError
from fada.recipe.schema import Recipe
from fada.recipe.sections.distill import Phase
from fada.run.data import encode_samples
from fada.student.copies import student_of
from fada.studies.step_passes import cached_share, samples_of
from fada.teacher.codec import latent_shape
from fada.teacher.denoiser import AvatarDenoiser
from fada.teacher.inputs import ClipInputs
from fada.teacher.vae import new_vae

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SHAKEN = 0.02
"""Deviation of the weights that would start at zero: an untrained net must not skip half of its work."""
SD_SCALE = 0.18215
"""Scaling factor of Stable Diffusion's latents."""
PASSES = 4
"""Passes per round: what CFG layers add is less than a pass varies."""
FACE = FaceClues(torch.ones(512), torch.tensor([0.2, 0.2, 0.8, 0.9]), torch.tensor([0.4, 0.6, 0.6, 0.8]))
"""Of every clip, for families that are told of it."""
POINTS = torch.tensor([[0.35, 0.4], [0.65, 0.4], [0.5, 0.55], [0.4, 0.7], [0.6, 0.7]])
"""Keypoints of every frame, for families that are shown them."""
CLIPS, SPARE_FRAMES = 4, 8
"""Random clips, and their frames beside those of a sample."""


@dataclass(frozen=True)
class SpeedOptions:
    """What is measured, and how.

    device: cpu, cuda, or auto for cuda where there is one. dtype: fp32 or bf16; None is the recipe's. model: a trained
    teacher, or a run's folder: its weights are measured, and the errors of its window ends. rounds: repetitions.
    fine_steps, samples: of the true window ends. parts: `steps`, `clips`, `endpoints`, those wanted.
    """

    device: str = "auto"
    dtype: str | None = None
    model: Path | None = None
    rounds: int = 5
    is_compiled: bool = False
    fine_steps: int = 125
    samples: int = 2
    parts: tuple[Literal["steps", "clips", "endpoints"], ...] = ("steps", "clips", "endpoints")


def measure_speed(recipe: Recipe, options: SpeedOptions, console: Console) -> SpeedReport:
    """Measure passes, training steps, window ends and clips of a recipe's networks.

    Raises:
        RecipeError: there is no such device, type or phase, or the teacher is of another family.
    """
    nets = _Networks(recipe, options)
    latents, inputs = nets.clip()
    notes = list(nets.notes)
    with _told(console) as on_work:
        report = SpeedReport(
            recipe.name, _machine(nets), nets.sizes(), peak_rate(nets.dtype, nets.device),
            measure_passes(nets.student_as(nets.dtype), inputs, latents, PASSES * options.rounds, on_work),
        )  # fmt: skip
        if "steps" in options.parts:
            setting = nets.steps_setting()
            recompute(recipe, nets.student)
            notes += _cached_note(recipe, nets.phase, setting)
            with training_steps(nets.frozen, nets.student, nets.sampler, setting) as steps:
                report = replace(report, steps=measure_steps(steps, setting, options.rounds, on_work))
        if "endpoints" in options.parts:
            if options.model is None:
                notes.append("window ends: not measured; errors say something with a trained teacher alone (--model)")
            else:
                report = replace(report, endpoints=_endpoints(nets, on_work))
        if "clips" in options.parts:
            report = replace(report, clips=measure_clips(nets.clip_works(), options.rounds, on_work))
    return replace(report, notes=notes)


def measure_once(recipe: Recipe, options: SpeedOptions) -> FullStep:
    """One pass and one full training step at the recipe's size, everything in one type, optimiser state too.

    Raises:
        RecipeError: as `measure_speed`.
    """
    nets = _Networks(recipe, options, is_short=True)
    latents, inputs = nets.clip()
    recompute(recipe, nets.student)
    return run_once(nets.frozen, nets.student, nets.sampler, distill_settings(recipe, nets.phase), inputs, latents)


class _Networks:
    """Teacher and student of a recipe on a device, and random clips of its shape.

    Args:
        is_short: everything is made in the type that it runs in, so that memory never holds float32 weights.
    """

    def __init__(self, recipe: Recipe, options: SpeedOptions, is_short: bool = False) -> None:
        self.recipe, self.options = recipe, options
        self.device, self.dtype = _device(options.device), _dtype(recipe, options)
        self.phase = _phase(recipe)
        self.notes: list[str] = []
        torch.manual_seed(recipe.seed)
        with _default_dtype(self.dtype if is_short else torch.float32):
            self.loaded = None if options.model is None else open_pipeline(find_teacher(options.model))
            self.encoder = self._encoder() if self.loaded is None else self.loaded.audio_encoder
            self.vae = self._vae() if self.loaded is None else self.loaded.vae
            cfg = recipe.distill.cfg
            mode = "none" if self.phase.guidance == "sync" else cfg.mode
            # Billions of random numbers are drawn where they are wanted.
            with self.device:
                self.teacher = self._teacher()
                self.student = student_of(self.teacher, mode, cfg.tokens)
                _shake(self.student)
        self.teacher.to(self.device).eval()
        self.student.to(self.device)
        has_own = is_short or self.dtype == torch.float32
        self.frozen = self.teacher if has_own else copy.deepcopy(self.teacher).to(self.dtype)
        self.shape = latent_shape(self.vae, recipe.clip.size)
        size, side, cell = recipe.clip.size, self.shape[-1], self.teacher.cell
        if any(each % cell for each in self.shape[1:]):
            raise RecipeError(
                f"{recipe.name}: clip.size: {size} makes latents of {side} cells a side, and the networks halve until "
                f"{cell} are one; take a multiple of {size // side * cell}"
            )
        self.sampler = self._sampler([self._random_clip(number) for number in range(CLIPS)])

    def student_as(self, dtype: torch.dtype) -> AvatarDenoiser:
        """The student as it generates: without gradients, in this type."""
        return copy.deepcopy(self.student).to(dtype).eval().requires_grad_(False)

    def sizes(self) -> dict[str, str]:
        """Networks and clip, for people."""
        clip, count = self.recipe.clip, sum(p.numel() for p in self.teacher.parameters())
        return {
            "weights": f"{count / 1e6:.1f} M",
            "latents": "x".join(str(each) for each in self.shape),
            "frames": f"{clip.frames} after {clip.motion_frames}",
            "batch": str(self.phase.batch),
            "type": str(self.dtype).removeprefix("torch."),
        }

    def clip(self) -> tuple[Tensor, Any]:
        """Noisy latents (1, F, C, h, w) and what the family's networks take, of one clip."""
        batch = self.sampler.sample(0, 0, 1).to(self.device)
        model: Any = self.teacher
        inputs = model.inputs_of(ClipInputs.of_batch(batch))
        return torch.randn(1, self.recipe.clip.frames, *self.shape, device=self.device), inputs

    def steps_setting(self) -> StepsSetting:
        """What the compared training steps have in common."""
        settings, share = distill_settings(self.recipe, self.phase), cached_share(self.recipe, self.phase)
        return StepsSetting(settings, BatchShape(self.phase.batch), self.dtype, share, self.options.is_compiled)

    def clip_works(self) -> dict[str, ClipWork]:
        """The guided teacher and the student, as pipelines generate with them."""
        many, few = self.recipe.bench.teacher_steps, default_steps(self.recipe)
        branches = len(self.teacher.branches)
        is_told, student = self.phase.guidance == "distill", self.student_as(self.dtype)
        asked, guidance = ("1", "embedded") if is_told else (f"{branches} branches", "ladder")
        return {
            f"teacher, {many} steps x {branches} branches": self._clip_work(self.frozen, many, "ladder"),
            f"student, {few} steps x {asked}": self._clip_work(student, few, guidance, is_student=True),
        }

    def endpoint_samples(self) -> EndpointSamples:
        """Clips of the drawn world (or of the recipe's shards) for the trained teacher, in float32."""
        sampler = self._sampler(self._true_clips())
        batch = sampler.batch(0, BatchShape(self.options.samples)).to(self.device)
        generator = torch.Generator().manual_seed(self.recipe.seed)
        low, high = torch.tensor(distill_settings(self.recipe, self.phase).scales).reshape(-1, 2).T
        uniform = torch.rand(len(batch.latents), len(low), generator=generator)
        noise = torch.randn(batch.latents.shape, generator=generator).to(self.device)
        with torch.no_grad():
            teacher: Any = self.teacher
            conditions = teacher.prepare(teacher.inputs_of(ClipInputs.of_batch(batch)))
        return EndpointSamples(batch.latents, noise, conditions, (low + uniform * (high - low)).to(self.device))

    def _clip_work(self, model: AvatarDenoiser, steps: int, guidance: str, is_student: bool = False) -> ClipWork:
        scales = default_scales(self.recipe)
        encoder, vae = copy.deepcopy(self.encoder), copy.deepcopy(self.vae).to(self.device, self.dtype)
        built = pipeline(
            self.recipe, model, vae, encoder.to(self.device), steps=steps, scales=scales, is_student=is_student
        )
        told: dict[str, Any] = {"face": FACE} if built.needs_face else {}
        if built.needs_keypoints:
            told["keypoints"] = Keypoints(POINTS, torch.ones(5).bool(), FACE.lip_box)
        return ClipWork(built, guidance=guidance, **told)

    def _teacher(self) -> AvatarDenoiser:
        recipe = self.recipe
        if self.loaded is not None:
            return self.loaded.model.requires_grad_(False)
        self.notes.append("weights are random: times hold, pictures do not")
        audio = (2 * recipe.audio.context + 1, self.encoder.layers, self.encoder.states_dim)
        made = new_teacher(recipe, audio, latent_shape(self.vae, recipe.clip.size))
        _shake(made)
        return made.requires_grad_(False)

    def _encoder(self) -> AudioEncoder:
        """The recipe's, or one of the shape of wav2vec2-base or Whisper tiny where its weights are not at hand."""
        section = self.recipe.audio
        if section.path is None or section.path.exists():
            return audio_encoder(section, self.recipe.clip.fps)
        named = "Whisper tiny" if section.kind == "whisper" else "wav2vec2-base"
        self.notes.append(f"{section.path} is not there: a {named} with random weights stands in for it")
        fps, rate = self.recipe.clip.fps, section.rate or "states"
        if section.kind == "whisper":
            assert rate != "features"
            return WhisperAudioEncoder(WhisperEncoder(WhisperConfig()), fps, rate)
        return Wav2Vec2Encoder(Wav2Vec2Model(Wav2Vec2Config()), fps, rate=rate)

    def _vae(self) -> Any:
        """The family's own codec, or a VAE of the recipe's shape; Stable Diffusion's, where a released one is named."""
        networks = self.recipe.teacher.family.networks
        if hasattr(networks, "new_codec"):
            return networks.new_codec(self.recipe)
        section = self.recipe.vae
        if section.path is None:
            return new_vae(section.channels, section.latent_channels).eval().requires_grad_(False)
        levels = len(section.channels)
        made = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=section.channels,
            layers_per_block=2,
            latent_channels=section.latent_channels,
            scaling_factor=SD_SCALE,
        )
        return made.eval().requires_grad_(False)

    def _random_clip(self, number: int) -> LatentClip:
        frames = self.recipe.clip.frames + self.recipe.clip.motion_frames + SPARE_FRAMES
        states = torch.randn(frames, self.encoder.layers, self.encoder.states_dim)
        shown = Keypoints(POINTS.repeat(frames, 1, 1), torch.ones(frames, 5).bool(), FACE.lip_box.repeat(frames, 1))
        return LatentClip(
            f"random-{number}", "A", torch.randn(frames, *self.shape), states, FACE, shown, emotion_of({})
        )

    def _sampler(self, clips: list[LatentClip]) -> ClipSampler:
        clip = self.recipe.clip
        recipe = self.recipe
        hears_motion = recipe.teacher.family.hears_motion
        return ClipSampler(
            clips, clip.frames, clip.motion_frames, recipe.audio.context, seed=recipe.seed, hears_motion=hears_motion
        )

    def _true_clips(self) -> list[LatentClip]:
        assert isinstance(self.loaded, AvatarPipeline)
        made = encode_samples(_samples(self.recipe, self.options.samples), self.loaded.vae, self.loaded.audio_encoder)
        return [
            LatentClip(sample.key, "A", sample.latents, sample.audio_states, emotion=sample_emotion(sample))
            for sample in made
            if sample.latents is not None and sample.audio_states is not None
        ]


def _endpoints(nets: _Networks, on_work: Callable[[str, int], None]) -> list[EndpointErrors]:
    """In float32 whatever the networks are timed in: bf16's rounding would be in both ends."""
    settings = distill_settings(nets.recipe, nets.phase)
    public = public_way(settings)
    wanted = [(each.solver, each.solver_steps, each.solver_spacing) for each in (public, settings)]
    return endpoint_errors(
        nets.teacher,
        nets.endpoint_samples(),
        spaced_windows(nets.teacher.path, settings.windows, settings.spacing),
        nets.options.fine_steps,
        list(dict.fromkeys([*wanted, *COMPARED])),
        on_window=lambda window: on_work("window ends", window),
    )


def _samples(recipe: Recipe, count: int) -> Iterator[Sample]:
    """Held-out clips with frames and sound: drawn for this, or the first of the recipe's shards."""
    world = recipe.data.world
    if world is None:
        assert recipe.data.test_shards is not None
        yield from itertools.islice(read_shards(recipe.data.test_shards, parts=("frames", "audio")), count)
        return
    with tempfile.TemporaryDirectory() as folder:
        make_world(
            folder,
            count,
            world.seed + 1,
            recipe.clip.size,
            world.frames,
            flawed_share=0.0,
            emotion=world.emotion,
            from_rest=world.from_rest,
        )
        for key in list_clips(folder):
            clip = read_clip(folder, key)
            yield Sample(clip.key, clip.meta, clip.frames, clip.audio)


def _phase(recipe: Recipe) -> Phase:
    """The last phase with guidance inside, or the last where none has."""
    if not recipe.distill.phases or recipe.distill.method != "perflow":
        raise RecipeError(f"{recipe.name}: speed is measured of a phase with method: perflow; the recipe has none")
    inside = [phase for phase in recipe.distill.phases if phase.guidance == "distill"]
    return (inside or recipe.distill.phases)[-1]


def _device(name: str) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise RecipeError("--device cuda: there is no CUDA device here; leave it out, or give --device cpu")
    return torch.device("cuda" if has_cuda and name != "cpu" else "cpu")


def _dtype(recipe: Recipe, options: SpeedOptions) -> torch.dtype:
    name = options.dtype or recipe.engine.precision
    if name not in DTYPES:
        raise RecipeError(f"--dtype: got {name!r} (the recipe's engine.precision, if none was given); choose from "
                          f"{', '.join(DTYPES)}")  # fmt: skip
    return DTYPES[name]


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def _shake(network: torch.nn.Module) -> None:
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=SHAKEN)


def _machine(nets: _Networks) -> dict[str, object]:
    told = environment()
    return {key: told[key] for key in ("processor", "cores", "torch_threads", "torch", "gpu")}


def _cached_note(recipe: Recipe, phase: Phase, setting: StepsSetting) -> list[str]:
    if setting.cached_share is None:
        return []
    return [
        f"cached targets: {phase.cached_samples} windows for {samples_of(recipe, phase)} samples of "
        f"{phase.name} ({phase.steps} steps); each is solved {setting.cached_share:.3g} times per sample"
    ]


@contextmanager
def _told(console: Console) -> Iterator[Callable[[str, int], None]]:
    with console.status("building") as status:
        yield lambda name, number: status.update(f"{name}, round {number}")
