"""Portrait and speech to video, by the teachers and students of every family.

A clip after another: the reference features, audio tokens and their keys and values are computed once per clip,
the last frames of a clip become the motion frames of the next. `stream` hands out each clip's frames and forgets them,
and `in_chunks` does so with a whole sound: memory is flat in length. A call gathers what the same generator makes, and
needs room for all frames and latents: 0.8 MB a frame at 512².
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from torch import Tensor

from fada.data.audio.stream import AudioStates
from fada.data.clips.emotion import asked_emotion
from fada.data.clips.face import FaceClues
from fada.data.clips.keypoints import Keypoints
from fada.diffusion.paths import NoisePath
from fada.diffusion.solvers import Solver
from fada.diffusion.spacing import Spacing
from fada.engine.clock import Clock
from fada.family import Family
from fada.generation.chunk_loop import Clip, Told, denoised_clips
from fada.generation.chunks import VideoInChunks
from fada.generation.denoising import Guidance, Settings, which_guidance
from fada.generation.devices import compile_in_place, convolve_channels_last
from fada.generation.fitting import check_length, check_parts
from fada.generation.overlap import ClipDecoder, one_ahead, wait_for
from fada.generation.ranges import MOTION, check_call, check_config, check_sampler
from fada.generation.unknown_face import look_at
from fada.media.frame_count import frame_count, frames_in
from fada.media.image import square_resize
from fada.media.sample_rate import SAMPLE_RATE
from fada.pretrained.pipelines import Components, open_pipeline
from fada.pretrained.ranges import SCALE
from fada.student.network import apart
from fada.teacher.denoiser import AvatarDenoiser

OnStep = Callable[[int, int], None]
Emotion = Mapping[str, float] | Tensor
"""Shares of emotions by name, the rest neutral, or a soft label (7,): see `fada.data.clips.emotion`."""


@dataclass
class PipelineOutput(BaseOutput):
    """A generated video.

    frames: uint8 (F, H, W, 3); latents: (F, C, h, w) float32; stage_seconds: audio, reference, denoise, decode, which
    overlap where decoding does;
    nfe: evaluations of the denoising net per clip, a batched pass over R branches counting R; clips: how many;
    seconds_to_first_frame: until the first clip was decoded.
    """

    frames: np.ndarray
    latents: Tensor
    stage_seconds: dict[str, float] = field(default_factory=dict)
    nfe: int = 0
    clips: int = 0
    seconds_to_first_frame: float = 0.0


class AvatarPipeline(DiffusionPipeline):
    """Audio-driven talking avatar: a teacher (guided by the ladder) or a student (few steps); the loop.

    A family's own class says which networks there are.
    """

    model: AvatarDenoiser
    family: ClassVar[Family]
    components_table: ClassVar[Components] = {}
    """What a folder of the family may name as its components."""
    needs_face: ClassVar[bool] = False
    """Whether calls must be told of the face."""
    needs_keypoints: ClassVar[bool] = False
    """Whether calls must be shown where eyes and nose are."""
    needs_emotion: ClassVar[bool] = False
    """Whether calls are given an emotion."""

    def _set_up(self, components: dict[str, Any], settings: dict[str, Any]) -> None:
        """Register what the family's class was made with, and make its model of it."""
        super().__init__()
        check_config(settings, self.family.guidance.names)
        names = self.family.networks.NETWORKS
        networks = {name: components[name] for name in names}
        name = self.family.networks.MODEL.denoiser_name
        networks[name], layers = apart(networks[name], components["guidance_layers"])
        self.register_modules(**{**components, **networks, "guidance_layers": layers})
        self.register_to_config(**settings)
        options = {name: settings[name] for name in self.family.options}
        path = NoisePath.from_config(self.scheduler.config)
        self.model = self.family.networks.MODEL(**networks, path=path, guidance_layers=layers, **options)

    def scales(
        self, named: Mapping[str, float] | None = None, short: Mapping[str, float | None] | None = None
    ) -> tuple[float, ...]:
        """Guidance scales of a call in the order of the branches: those given by name, the model's own for the others.

        Args:
            short: the same under `NAME_scale`.

        Raises:
            TypeError: `short` holds what is no scale of the family.
            ValueError: a name is no branch's, one is given twice, or a scale is out of its range.
        """
        names, given = self.family.guidance.names, dict(named or {})
        for key, value in (short or {}).items():
            name = key.removesuffix("_scale")
            if name == key or name not in names:
                known = ", ".join(f"{each}_scale" for each in names)
                raise TypeError(f"{type(self).__name__} has no argument {key!r}; its guidance scales are {known}")
            if value is not None and name in given:
                raise ValueError(f"{key}: is given in scales too ({name}); give it once")
            given |= {} if value is None else {name: value}
        for name, value in given.items():
            SCALE.check(f"{name}_scale", value)
        own = tuple(self.config[f"{name}_scale"] for name in names)
        found = self.family.guidance.in_order(given)
        return tuple(mine if scale is None else scale for scale, mine in zip(found, own, strict=True))

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:
        """Save as a diffusers folder; the audio encoder, which is none of diffusers' classes, saves itself."""
        super().save_pretrained(str(save_directory), **options)
        if self.audio_encoder is not None:
            self.audio_encoder.save_pretrained(Path(save_directory) / "audio_encoder")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """Load what `save_pretrained` wrote, from a folder or the hub (`owner/name@revision`); its code is never run.

        Args:
            options: components and settings in place of the folder's, and `torch_dtype` and `variant` of its weights.

        Raises:
            ModelFolderError: the folder holds another pipeline or is damaged, or names what is not permitted.
        """
        pipeline = open_pipeline(cls, pretrained_model_name_or_path, cls.components_table, **options)
        check_parts(pipeline, pretrained_model_name_or_path)
        return cast(Self, pipeline)

    @property
    def dtype(self) -> torch.dtype:
        """Of the networks' weights; diffusers asks the first component, which may be the audio encoder."""
        return self.model.dtype

    def to(self, *args: Any, **options: Any) -> Self:
        """Move and cast the networks, as diffusers does; the audio encoder moves along and stays in float32.

        It is small, and log-mel's tables fit no other type.
        """
        encoder = self.audio_encoder
        self.__dict__["audio_encoder"] = None  # Not by assignment, which would note it in the config.
        try:
            super().to(*args, **options)
        finally:
            self.__dict__["audio_encoder"] = encoder
        if encoder is not None:
            encoder.to(next(self.model.denoiser.parameters()).device)
        return self

    def optimize(self, *, channels_last: bool | None = None, compile: bool = False) -> Self:
        """Make the networks faster where they are now, with the same weights; frames differ by rounding at most.

        Args:
            channels_last: lay images of the two UNets out with channels last in memory; None does so on CUDA devices.
                On CPUs that gains their attention layers nothing. The VAE, all convolutions, gains everywhere.
            compile: see `compile_networks`.
        """
        if self.device.type == "cuda" if channels_last is None else channels_last:
            convolve_channels_last(*self._passed())
        if self.vae is not None:
            convolve_channels_last(self.vae)
        if compile:
            self.compile_networks()
        return self

    def _passed(self) -> list[torch.nn.Module]:
        """The networks that take the time: those of the passes, and of the features."""
        return [self.model.denoiser, *(getattr(self.model, name) for name in self.model.feature_encoders)]

    def compile_networks(self, **options: Any) -> Self:
        """Compile the networks in place: worth minutes of a first call only for long or many videos.

        Args:
            options: of `torch.compile`.
        """
        coders = [getattr(self.vae, name) for name in ("encoder", "decoder") if hasattr(self.vae, name)]
        compile_in_place(*self._passed(), *coders, **options)
        return self

    @torch.no_grad()
    def __call__(
        self,
        image: np.ndarray,
        audio: np.ndarray,
        *,
        face: FaceClues | None = None,
        keypoints: Keypoints | None = None,
        emotion: Emotion | None = None,
        motion: Mapping[int, float] | None = None,
        steps: int | None = None,
        scales: Mapping[str, float] | None = None,
        guidance: Guidance = "auto",
        seed: int = 0,
        solver: Solver | None = None,
        spacing: Spacing | None = None,
        max_frames: int | None = None,
        decode: bool = True,
        overlap: bool | None = None,
        on_step: OnStep | None = None,
        **short: float | None,
    ) -> PipelineOutput:
        """Generate a video as long as the audio.

        Args:
            image: uint8 (H, W, 3), the portrait; it is resized to the model's square.
            audio: float32 (N,) at 16 kHz.
            face: what the portrait's face is like, without batch axis, for families that are told (Hallo).
            keypoints: where eyes and nose are, for families that are shown them (V-Express): of the portrait (5, 2),
                which then keeps still, or of every frame (F, 5, 2); the last ones hold for frames behind them.
            emotion: for families that are given one (FLOAT): shares by name, `{"happy": 0.8}`, the rest neutral, or a
                soft label (7,); None is neutral.
            motion: for codecs with directions (FLOAT's): how far frames are moved along some of them, by number. What
                is denoised and what `latents` hold stays as it is.
            steps: denoising steps per clip.
            scales: guidance scales by the names of the family's branches; those left out are the model's own.
                `audio_scale=6.5` is short for `scales={"audio": 6.5}`, and so on for every branch.
            guidance: `ladder` runs every branch that the scales need; `embedded` tells the network the scales (fast
                students); `none` is plain conditional prediction; `auto` is what the model was made for.
            seed: of the initial noise, which is drawn per frame and so does not depend on steps or guidance.
            solver: of a teacher, see `solve`; None is DDIM. A student has its own sampler, and takes none.
            spacing: of which clock a teacher's steps are equal parts, see `spaced_points`; None is time. Evaluations
                stay as many; `noise_share` is often several times nearer to what many steps would give.
            max_frames: stop after so many frames.
            decode: False leaves `frames` empty.
            overlap: decode a clip while the next one is denoised, in a second thread; None does so on CUDA devices.
            on_step: called with (steps done, steps in all), where clips overlap from the second thread.

        Raises:
            ValueError: the audio is shorter than a frame or not finite, a number is out of its range (ranges.py), the
                guidance, the solver or the emotion does not fit the model, or the model needs to be told of the face,
                or lacks a VAE or an audio encoder.
        """
        made = self.in_chunks(
            image,
            audio,
            face=face,
            keypoints=keypoints,
            emotion=emotion,
            motion=motion,
            steps=steps,
            scales=scales,
            guidance=guidance,
            seed=seed,
            solver=solver,
            spacing=spacing,
            max_frames=max_frames,
            decode=decode,
            overlap=overlap,
            on_step=on_step,
            **short,
        )
        frames: list[np.ndarray] = [np.zeros((0, self.config.size, self.config.size, 3), np.uint8)]
        latents: list[Tensor] = []
        for chunk in made:
            frames.append(chunk.frames)
            latents.append(chunk.latents)
        return PipelineOutput(
            frames=np.concatenate(frames),
            latents=torch.cat(latents).cpu(),
            stage_seconds=made.stage_seconds,
            nfe=made.nfe,
            clips=made.clips,
            seconds_to_first_frame=made.seconds_to_first_frame,
        )

    def in_chunks(
        self,
        image: np.ndarray,
        audio: np.ndarray,
        *,
        face: FaceClues | None = None,
        keypoints: Keypoints | None = None,
        emotion: Emotion | None = None,
        motion: Mapping[int, float] | None = None,
        steps: int | None = None,
        scales: Mapping[str, float] | None = None,
        guidance: Guidance = "auto",
        seed: int = 0,
        solver: Solver | None = None,
        spacing: Spacing | None = None,
        max_frames: int | None = None,
        decode: bool = True,
        overlap: bool | None = None,
        on_step: OnStep | None = None,
        **short: float | None,
    ) -> VideoInChunks:
        """What a call generates, chunk by chunk, so that frames can be written as they are made: memory does not grow.

        Unlike a stream's, its frames are a call's bit for bit with every encoder, because the whole sound is there.
        Arguments and errors are those of a call.
        """
        self.check_motion(motion)
        look_at(self, image)
        check_call(steps=steps, seed=seed, max_frames=max_frames)
        settings = self._settings(steps, self.scales(scales, short), guidance, solver, spacing, seed)
        clock, decoding = (Clock(wait=partial(wait_for, self.device)) for _ in range(2))
        total = frame_count(len(audio), SAMPLE_RATE, self.config.fps)
        total = total if max_frames is None else min(total, max_frames)
        chunk = self.model.chunk_frames(total, self.config.frames)
        in_all = settings.steps * math.ceil(total / chunk)
        states = AudioStates(self.audio_encoder, [audio], self.config.fps, max_frames)
        told = None if on_step is None else lambda done: on_step(done, in_all)
        shown = self._told(face, keypoints, emotion)
        made = self._ahead(denoised_clips(self, image, shown, states, settings, clock, told, chunk), overlap)
        decoder = self._decoder(image, overlap, motion) if decode else None
        return VideoInChunks(made, decoder, clock, decoding, total, self.config.size)

    def stream(
        self,
        image: np.ndarray,
        audio_chunks: Iterable[np.ndarray],
        *,
        face: FaceClues | None = None,
        keypoints: Keypoints | None = None,
        emotion: Emotion | None = None,
        motion: Mapping[int, float] | None = None,
        steps: int | None = None,
        scales: Mapping[str, float] | None = None,
        guidance: Guidance = "auto",
        seed: int = 0,
        solver: Solver | None = None,
        spacing: Spacing | None = None,
        max_frames: int | None = None,
        look_ahead: float = 0.5,
        overlap: bool | None = None,
        **short: float | None,
    ) -> Iterator[np.ndarray]:
        """Frames (n, H, W, 3) uint8 of one clip after another, each as soon as its sound is there.

        With a log-mel encoder they are those of a call on the whole sound, however it is cut into chunks. wav2vec2
        hears a whole sound at once in a call; here it hears 2 s before a clip and `look_ahead` behind it, so that
        frames come close to a call's but do not equal them. Whisper hears the same windows as in a call, as far as
        `look_ahead` behind the clip. V-Express denoises overlapping contexts of a whole video
        together in a call, and here one after the other, each by itself.

        Args:
            audio_chunks: float samples (N,) at 16 kHz, of any lengths. Of them a clip needs its own frames, `context`
                frames behind, and what the encoder looks ahead (log-mel: a frame).
            look_ahead: seconds of sound behind a clip that wav2vec2 and Whisper wait for; more is closer to a call.
            overlap: while a clip is decoded and used, the next is made in a second thread, which reads `audio_chunks`.

        The other arguments are those of a call, and so are the errors; faults of the sound show when it is read.
        """
        self.check_motion(motion)
        look_at(self, image)
        check_call(steps=steps, seed=seed, max_frames=max_frames, look_ahead=look_ahead)
        settings = self._settings(steps, self.scales(scales, short), guidance, solver, spacing, seed)
        frames = round(frames_in(look_ahead, self.config.fps))
        states = AudioStates(self.audio_encoder, audio_chunks, self.config.fps, max_frames, frames)
        clock = Clock(wait=partial(wait_for, self.device))
        told = self._told(face, keypoints, emotion)
        clips = denoised_clips(self, image, told, states, settings, clock, None, self.config.frames)
        decoder = self._decoder(image, overlap, motion)
        return (decoder(latents) for latents, *_ in self._ahead(clips, overlap))

    def _told(self, face: FaceClues | None, keypoints: Keypoints | None, emotion: Emotion | None) -> Told:
        if not self.needs_emotion and emotion is not None:
            raise ValueError(f"emotion: a {type(self).__name__} is given none; leave emotion out")
        return Told(face, keypoints, asked_emotion(emotion) if self.needs_emotion else None)

    def check_motion(self, motion: Mapping[int, float] | None) -> None:
        """Know that frames can be moved so, see a call's `motion`.

        Raises:
            ValueError: the model's codec has no directions, or not these, or an amount is out of its range.
        """
        if not motion:
            return
        count = getattr(self.vae, "directions", 0)
        if not count:
            raise ValueError(f"motion: the codec of a {type(self).__name__} has no directions; leave motion out")
        for number, amount in motion.items():
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < count:
                raise ValueError(f"motion: there are directions 0 to {count - 1}, got {number!r}")
            MOTION.check(f"motion {number}", amount)

    def _decoder(
        self, image: np.ndarray, overlap: bool | None, motion: Mapping[int, float] | None = None
    ) -> ClipDecoder:
        portrait = square_resize(image, self.config.size)
        return ClipDecoder(self.vae, portrait, self._overlaps(overlap), motion or {})

    def _overlaps(self, wanted: bool | None) -> bool:
        return self.device.type == "cuda" if wanted is None else wanted

    def _ahead(self, clips: Iterator[Clip], overlap: bool | None) -> Iterator[Clip]:
        return one_ahead(clips) if self._overlaps(overlap) else clips

    def _settings(
        self,
        steps: int | None,
        scales: tuple[float, ...],
        guidance: Guidance,
        solver: Solver | None,
        spacing: Spacing | None,
        seed: int,
    ) -> Settings:
        config = self.config
        check_length(self)
        check_sampler(config.is_student, solver, spacing)
        for name in ("vae", "audio_encoder"):
            if getattr(self, name) is None:
                raise ValueError(f"this {type(self).__name__} has no {name}: import the weights again with one")
        guidance = which_guidance(guidance, config.guidance, self.model.is_guided)
        asked = torch.tensor([scales])
        if guidance == "none":
            asked = torch.ones_like(asked)
        steps = config.steps if steps is None else steps
        return Settings(steps, asked, guidance, solver or "ddim", spacing or "time", seed)
