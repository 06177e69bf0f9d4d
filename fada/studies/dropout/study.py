"""V-Express's claims in the drawn world: conditional dropout at several rates, and one stage against three.

Strong conditions (portrait, keypoints) are said to keep a model from listening to the weak one (sound). Each row is a
teacher trained from nothing with a seed; rows of a seed share the first stage, which all of them train alike, and the
held-out clips. How rows are trained and kept: fada/studies/teachers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fada.data.world import measure_aperture
from fada.eval.bench.measure import heard_aperture, measured_aperture
from fada.eval.bench.systems import BenchClip
from fada.eval.metrics import identity, mouth
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.recipe.loading import load_recipe
from fada.recipe.schema import Recipe
from fada.studies.dropout.page import write_dropout_page
from fada.studies.teachers.command import run_asked, study_parser
from fada.studies.teachers.study import Kept, TeacherStudy
from fada.teacher.vae import decode_latents

RATES = (0.0, 0.1, 0.3, 0.5)
"""Of conditional dropout, of reference and keypoints alike."""
ONE_STAGE = "one stage"
RECIPE = "tiny/v-express"
SAMPLING_STEPS = 6


@dataclass(frozen=True)
class Study(TeacherStudy):
    """Rates with three stages, then one stage without dropout."""

    kind = "dropout"

    @property
    def rows(self) -> tuple[str, ...]:
        return (*(f"{rate:g}" for rate in RATES), ONE_STAGE)

    def recipe(self, row: str, seed: int) -> Recipe:
        given = [*self.common(row, seed), f"data.world.test_clips={2 * self.clips}", f"bench.clips={self.clips}"]
        rate = 0.0 if row == ONE_STAGE else float(row)
        drop = f"frame_drop={{reference: {rate}, keypoints: {rate}}}"
        given += [f"teacher.stages.{name}.{drop}" for name in ("sound", "all")]
        made = load_recipe(RECIPE, [*given, *self.overrides])
        return _in_one_stage(made) if row == ONE_STAGE else made

    def starts_as(self, row: str) -> str | None:
        """All rows but the single stage train the first stage alike."""
        return None if row in (self.rows[0], ONE_STAGE) else self.rows[0]

    def measured(self, row: str, built: AvatarPipeline, clips: Sequence[BenchClip]) -> dict[str, Any]:
        """See `measured`."""
        return {"clips": measured(built, clips)}

    def measured_with(self) -> list[Any]:
        return [SAMPLING_STEPS]

    def results(self, kept: Mapping[str, Mapping[str, Kept]]) -> dict[str, Any]:
        return {"rows": {row: {seed: each["clips"] for seed, each in seeds.items()} for row, seeds in kept.items()}}

    def write_page(self, results: Mapping[str, Any], page: Path) -> Path:
        return write_dropout_page(results, page)


def _in_one_stage(recipe: Recipe) -> Recipe:
    """The same with its last stage alone, at the second one's learning rate, on as many frames in all."""
    first, second, last = recipe.teacher.stages
    clips = second.steps * second.batch + last.steps * last.batch
    frames = first.steps * first.batch + clips * recipe.clip.frames
    steps = round(frames / (last.batch * recipe.clip.frames))
    stage = last.model_copy(update={"steps": steps, "lr": second.lr})
    return recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"stages": (stage,)})})


@torch.no_grad()
def measured(built: AvatarPipeline, clips: Sequence[BenchClip]) -> dict[str, dict[str, float]]:
    """Of every clip, without guidance: how the mouth answers to the sound, and how far the face is from the truth's.

    response: correlation of the mouth's opening with the sound's, the keypoints being the truth's. still: the same with
    the portrait's own keypoints in every frame. foreign: with the truth's keypoints and the next clip's sound, whose
    opening is then the right one. identity: error of the first, in levels. autoencoder: the response of the true video
    after encoding and decoding.
    """
    found = {}
    for clip, other in zip(clips, [*clips[1:], clips[0]], strict=True):
        truth = clip.drawn_truth
        assert truth is not None
        assert clip.keypoints is not None
        assert clip.truth_frames is not None
        assert clip.truth_latents is not None
        still = truth | {"mouth_centre": [truth["mouth_centre"][0]] * len(truth["mouth_centre"])}
        made = {
            "response": _called(built, clip, clip.audio, None),
            "still": _called(built, clip, clip.audio, 0),
            "foreign": _called(built, clip, other.audio, None),
            "autoencoder": decode_latents(built.vae, clip.truth_latents),
        }
        values = {
            name: _response(frames, still if name == "still" else truth, other if name == "foreign" else clip)
            for name, frames in made.items()
        }
        seen = identity.still_pixels(clip.truth_frames) & identity.head_region(truth, clip.truth_frames.shape[1:3])
        values["identity"] = identity.colour_error(made["response"], clip.truth_frames, seen)
        found[clip.key] = values
    return found


def _called(built: AvatarPipeline, clip: BenchClip, sound: np.ndarray, still: int | None) -> np.ndarray:
    """Frames of a call without guidance; with the keypoints of one frame, or of each."""
    assert clip.keypoints is not None
    shown = clip.keypoints if still is None else clip.keypoints.of_frames(still)
    length = len(clip.truth_frames) if clip.truth_frames is not None else None
    return built(
        clip.reference, sound, keypoints=shown, seed=clip.seed(0), steps=SAMPLING_STEPS, guidance="none",
        max_frames=length,
    ).frames  # fmt: skip


def _response(frames: np.ndarray, truth: dict[str, Any], heard: BenchClip) -> float:
    assert heard.drawn_truth is not None
    opening = measured_aperture(frames, truth, measure_aperture)
    return mouth.correlation(opening, heard_aperture(heard.drawn_truth), still=mouth.STILL_PIXELS)


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m fada.studies.dropout.study`."""
    parser = study_parser(
        "fada.studies.dropout.study", __doc__, "recipes/tiny/v-express.yaml", "runs/v-express-dropout", clips=6
    )
    run_asked(Study, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
