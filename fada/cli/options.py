"""Arguments that several verbs share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

RecipePath = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a shipped recipe (`fada recipe list`).")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="key=value", help="Overrides, as in engine.precision=fp32 or distill.phases.fast.steps=500."
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything, print size, passes per step, memory and hours; train nothing."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier call wrote there.")]
Licence = Annotated[
    str | None,
    typer.Option(
        "--license",
        metavar="ID_OR_TEXT",
        help="Of the weights, for the cards of students; default: what their own card says.",
    ),
]

ShardWorkers = Annotated[
    int | None,
    typer.Option(min=1, help="Shards at a time.", show_default="this process alone; on a cluster one per processor"),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ray[=HOST:PORT]",
        help="Work on a Ray cluster: the one at that address, one that runs on this machine, or a new one here. Input, "
        "models and --out must lie where all its machines see them.",
    ),
]


class EncodingDevice(StrEnum):
    """Where encoders compute."""

    CPU = "cpu"
    CUDA = "cuda"


Device = Annotated[
    EncodingDevice,
    typer.Option(
        help="Where encoders compute; with cuda each worker has a GPU of its own, or a share of one.",
    ),
]
ModelDevice = Annotated[str | None, typer.Option(metavar="cpu|cuda|cuda:N|mps", help="Default: cuda if there is one.")]
ModelDtype = Annotated[
    str | None,
    typer.Option(metavar="fp32|bf16|fp16", help="Of the networks; default: bf16 where cuda has it, else fp32."),
]
KeepMedia = Annotated[
    bool,
    typer.Option("--keep-media/--drop-media", help="Whether frames and sound stay beside what is made of them."),
]
FaceEmbedder = Annotated[
    Path | None,
    typer.Option(metavar="ONNX", help="An ArcFace network: store an embedding of each clip's face (for Hallo)."),
]
EmotionClassifier = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="A wav2vec2 of transformers that classifies emotions: store what is heard in each clip (for FLOAT).",
    ),
]
DropFrames = Annotated[
    bool,
    typer.Option("--drop-frames", help="Leave frames out and keep the sound: training does not need frames."),
]
