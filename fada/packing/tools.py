"""What `fada data shard` and `fada data encode` make features of clips with: networks from folders and files."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderKL

from fada.assembly.models import AudioEncoder
from fada.data.audio.features import load_audio_encoder
from fada.data.audio.speech_emotion import SpeechEmotion, load_speech_emotion
from fada.data.prepare import face_embedding
from fada.data.shards.format import Sample
from fada.data.shards.reading import ShardError
from fada.packing.with_masks import with_masks
from fada.run.data import encode_samples, features_of
from fada.teacher.codec import load_codec

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Tools:
    """What makes features of clips; none of them is needed. Without an audio encoder no states are made beside latents:
    training makes them of the sound."""

    vae: AutoencoderKL | None = None
    audio_encoder: AudioEncoder | None = None
    face_embedder: face_embedding.FaceEmbedder | None = None
    emotion_classifier: SpeechEmotion | None = None

    def features(self) -> dict[str, str]:
        """What decides the features, as an index says it."""
        made = {} if self.vae is None else features_of(self.vae, self.audio_encoder)
        if self.face_embedder is not None:
            made = {**made, "face_embedder": self.face_embedder.fingerprint}
        if self.emotion_classifier is not None:
            made = {**made, "emotion_classifier": self.emotion_classifier.fingerprint()}
        return made

    def on(self, device: str) -> Tools:
        """Itself, moved to a device; the embedder of faces stays where it is.

        Raises:
            ShardError: this machine has no such device.
        """
        try:
            place = torch.device(device)
            if place.type != "cpu":
                torch.empty(1, device=place)
            # Modules move in place.
            for each in (self.vae, self.audio_encoder, self.emotion_classifier):
                if each is not None:
                    each.to(place)
        except (RuntimeError, AssertionError) as error:
            raise ShardError(
                f"{socket.gethostname()}: cannot encode on {device!r} ({str(error).splitlines()[0]}); give --device "
                "cpu, or work where there is one"
            ) from error
        return self


LoadTools = Callable[[], Tools]
"""Called once in each worker, so it must be picklable."""


def load_tools(
    vae: Path | None = None,
    audio_encoder: Path | None = None,
    face_embedder: Path | None = None,
    emotion_classifier: Path | None = None,
) -> Tools:
    """The networks in folders and a file; none where none is named.

    Raises:
        FileNotFoundError, ValueError: as `load_codec`, `load_audio_encoder` and `load_speech_emotion`.
        ModelError: as `FaceEmbedder`.
    """
    return Tools(
        None if vae is None else load_codec(vae),
        None if audio_encoder is None else load_audio_encoder(audio_encoder),
        None if face_embedder is None else face_embedding.FaceEmbedder(face_embedder),
        None if emotion_classifier is None else load_speech_emotion(emotion_classifier),
    )


def with_tools(
    work: Callable[..., Outcome], load: LoadTools, features: dict[str, str], device: str = "cpu"
) -> Callable[..., Outcome]:
    """What a worker does with each task: `work` with `tools` of its own, loaded and on its device.

    Raises:
        ShardError: they are others than those of the command, or there is no such device.
    """
    tools = load()
    if tools.features() != features:
        raise ShardError(
            f"{socket.gethostname()}: a worker has the encoders {tools.features()}, the command {features}; their "
            "folders must hold the same on all machines, and must not change meanwhile"
        )
    return partial(work, tools=tools.on(device))


def with_features(samples: Iterable[Sample], tools: Tools, keeps: tuple[str, ...]) -> Iterator[Sample]:
    """The samples with all that the tools make; of their frames and sound, those parts stay that are kept.

    Raises:
        ValueError: as `encode_samples`; or the mouth's landmarks are damaged.
    """
    if tools.face_embedder is not None:
        samples = _with_faces(samples, tools.face_embedder)
    if tools.emotion_classifier is not None:
        samples = _with_classified(samples, tools.emotion_classifier)
    if tools.vae is not None:
        samples = with_masks(encode_samples(samples, tools.vae, tools.audio_encoder, keeps))
    yield from samples


def _with_faces(samples: Iterable[Sample], embedder: face_embedding.FaceEmbedder) -> Iterator[Sample]:
    """The samples with the embedding of their face, from the first frame that shows it whole."""
    for sample in samples:
        assert sample.frames is not None
        assert sample.landmarks is not None
        landmarks = sample.landmarks["landmarks"].double().numpy()
        five = landmarks[:, list(face_embedding.FIVE_POINTS)]
        # Without such a frame the first: what lies outside is black.
        shown = int(((five > 0) & (five < 1)).all((1, 2)).argmax())
        yield replace(sample, face=embedder.embed(sample.frames[shown], landmarks[shown]))


def _with_classified(samples: Iterable[Sample], classifier: SpeechEmotion) -> Iterator[Sample]:
    """The samples with the emotion that is heard in their speech, where the truth tells of none."""
    for sample in samples:
        assert sample.audio is not None
        yield sample if sample.emotion is not None else replace(sample, emotion=classifier.label(sample.audio))
