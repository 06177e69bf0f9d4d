"""What `fada data shard` makes features with, from its folders and files."""

from __future__ import annotations

from pathlib import Path

from fada.data.audio.speech_emotion import load_speech_emotion
from fada.data.prepare import face_embedding
from fada.packing.encode_shard import load_encoders
from fada.packing.pack_clips import Tools


def load_tools(
    vae: Path | None, audio_encoder: Path | None, face_embedder: Path | None, emotion_classifier: Path | None = None
) -> Tools:
    """The models in folders and a file; none where none is named.

    Raises:
        FileNotFoundError, ValueError: as `load_encoders` and `load_speech_emotion`.
        ModelError: as `FaceEmbedder`.
    """
    embedder = None if face_embedder is None else face_embedding.FaceEmbedder(face_embedder)
    classifier = None if emotion_classifier is None else load_speech_emotion(emotion_classifier)
    heard = (None, None) if vae is None else load_encoders(vae, audio_encoder)
    return Tools(heard[0], heard[1], embedder, classifier)
