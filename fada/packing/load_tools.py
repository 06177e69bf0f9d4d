"""What `fada data shard` makes features with, from its folders and files."""

from __future__ import annotations

from pathlib import Path

from fada.data.prepare import face_embedding
from fada.packing.encode_shard import load_encoders
from fada.packing.pack_clips import Tools


def load_tools(vae: Path | None, audio_encoder: Path | None, face_embedder: Path | None) -> Tools:
    """The models in two folders and a file; none where none is named.

    Raises:
        FileNotFoundError, ValueError: as `load_encoders`.
        ModelError: as `FaceEmbedder`.
    """
    embedder = None if face_embedder is None else face_embedding.FaceEmbedder(face_embedder)
    return Tools(None, None, embedder) if vae is None else Tools(*load_encoders(vae, audio_encoder), embedder)
