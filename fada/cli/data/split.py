"""``fada data split``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.say import say


def split(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of clips (mp4 + wav + json).")],
    test_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of identities to hold out, by a hash of their name.")
    ] = 0.1,
    test_identities: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Hold out these instead: a text file, one identity per line.")
    ] = None,
    face_embedder: Annotated[
        Path | None,
        typer.Option(metavar="ONNX", help="An ArcFace network: tell by faces, not file names, who is in which clips."),
    ] = None,
) -> None:
    """Which clips are for training and which for testing; an identity is never in both.

    Rewrites the split in each clip's record, with --face-embedder the identity too ("identity_from": "embedding").
    Make scores and shards again afterwards.

    Examples:

      fada data split data/clips --test-share 0.1
      fada data split data/clips --test-identities test_people.txt
      fada data split data/clips --test-share 0.1 --face-embedder glintr100.onnx
    """
    from fada.data.sampling.splits import split_clips

    named = None
    if test_identities is not None:
        lines = (line.strip() for line in test_identities.read_text(encoding="utf-8").splitlines())
        named = {line for line in lines if line}
    embedder = None
    if face_embedder is not None:
        from fada.data.prepare.face_embedding import FaceEmbedder

        embedder = FaceEmbedder(face_embedder)
    counts = split_clips(folder, test_share, named, embedder)
    say(f"{folder}: {counts['train']} clips for training, {counts['test']} for testing")
