"""V-Express's claims in the drawn world: conditional dropout at several rates, and one stage against three.

Strong conditions (portrait, keypoints) are said to keep a model from listening to the weak one (sound). Each row is a
teacher trained from nothing with a seed; rows of a seed share the first stage, which all of them train alike, and the
held-out clips. A finished row is found again. The page of it all is dropout_page.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from fada.assembly.models import load_pipeline
from fada.data.world import measure_aperture
from fada.engine.tensor_files import load_tensors, save_tensors
from fada.eval.bench.measure import heard_aperture, measured_aperture
from fada.eval.bench.results import fingerprint as hash_of
from fada.eval.bench.results import kept_json
from fada.eval.bench.systems import BenchClip
from fada.eval.metrics import identity, mouth
from fada.eval.metrics.catalogue import METRICS_VERSION
from fada.files.folders import inside, take_folder
from fada.files.locks import locked
from fada.files.whole import remove_listed, write_json
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.recipe.loading import load_recipe
from fada.recipe.schema import Recipe
from fada.run.data import prepare_data
from fada.run.training_run import Run, Shared
from fada.studies.dropout.page import write_dropout_page
from fada.studies.side_by_side import side_by_side
from fada.studies.systems import bench_clip
from fada.teacher.vae import decode_latents
from fada.terminal import SafeConsole

RATES = (0.0, 0.1, 0.3, 0.5)
"""Of conditional dropout, of reference and keypoints alike."""
ONE_STAGE = "one stage"
RECIPE = "tiny/v-express"
SAMPLING_STEPS = 6
VERSION = 1
"""Of what is kept of a row: raise it when that changes."""
QUIET = Console(quiet=True)
Work = tuple[str, int]
"""A row and its seed."""


@dataclass(frozen=True)
class Study:
    """seeds: of every row; out: folder of everything; clips: held-out ones that a seed is measured on; overrides: of
    the recipe."""

    seeds: int
    out: Path
    clips: int = 6
    overrides: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[str, ...]:
        """Rates with three stages, then one stage without dropout."""
        return (*(f"{rate:g}" for rate in RATES), ONE_STAGE)

    def recipe(self, row: str, seed: int) -> Recipe:
        """Of one row and seed."""
        given = [f"output={self.out}/seed-{seed}/{row.replace(' ', '-')}", f"seed={seed}", "distill.phases=[]"]
        given += [f"data.world.test_clips={2 * self.clips}", f"bench.clips={self.clips}"]
        rate = 0.0 if row == ONE_STAGE else float(row)
        drop = f"frame_drop={{reference: {rate}, keypoints: {rate}}}"
        given += [f"teacher.stages.{name}.{drop}" for name in ("sound", "all")]
        made = load_recipe(RECIPE, [*given, *self.overrides])
        return _in_one_stage(made) if row == ONE_STAGE else made


def _in_one_stage(recipe: Recipe) -> Recipe:
    """The same with its last stage alone, at the second one's learning rate, on as many frames in all."""
    first, second, last = recipe.teacher.stages
    clips = second.steps * second.batch + last.steps * last.batch
    frames = first.steps * first.batch + clips * recipe.clip.frames
    steps = round(frames / (last.batch * recipe.clip.frames))
    stage = last.model_copy(update={"steps": steps, "lr": second.lr})
    return recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"stages": (stage,)})})


def run_study(study: Study, console: Console, page: Path, *, jobs: int = 1, trains: bool = True) -> dict[str, Any]:
    """Train and measure what is missing, `jobs` seeds at a time; all values, also in `OUT/results.json`, and the page.

    Args:
        jobs: trainings side by side, each in a process of its own.
        trains: False writes the page of what is there.
    """
    with _working_in(study):
        groups = [group for group in _groups(study, jobs) if group] if trains else []
        if groups:
            _make_shared(study)
        with side_by_side(jobs) as run:
            for group in groups:
                for row, seed in run(_run_row, study, group):
                    console.print(f"seed {seed}: {row}", highlight=False)
                    _written(study, page)
        return _written(study, page)


def _groups(study: Study, jobs: int) -> Iterator[list[Work]]:
    """What is missing, in groups of what may be trained side by side: of a few seeds the rows that others take their
    first stage from, then these others."""
    leading = (study.rows[0], ONE_STAGE)
    for first in range(0, study.seeds, jobs):
        seeds = range(first, min(first + jobs, study.seeds))
        missing = [(row, seed) for seed in seeds for row in study.rows if not _is_done(study, row, seed)]
        for leads in (True, False):
            yield [work for work in missing if (work[0] in leading) is leads]


@contextmanager
def _working_in(study: Study) -> Iterator[None]:
    with locked(study.out, "running the study"):
        take_folder(study.out, "dropout-study")
        yield


def _base(study: Study) -> Recipe:
    return study.recipe(study.rows[0], 0).model_copy(update={"output": inside(study.out, "base")})


def _make_shared(study: Study) -> None:
    """Clips and encoders of all rows, or find them again."""
    with Run(_base(study), QUIET).opened("making what rows share") as run:
        _ = run.data


@cache
def _shared(study: Study) -> Shared:
    """The same, once per process."""
    base = _base(study)
    return Shared(prepare_data(base, base.output, QUIET, makes=False), study.out, study.out)


def _run_row(study: Study, work: Work) -> Work:
    """Train a row's teacher with a seed, and keep what was measured of it."""
    (row, seed), shared = work, _shared(study)
    recipe = study.recipe(row, seed)
    with Run(recipe, QUIET, shared).opened("training the teacher") as run:
        file = ("stages", f"1-{recipe.teacher.stages[0].name}.safetensors")
        done, own = inside(study.recipe(study.rows[0], seed).output, *file), inside(recipe.output, *file)
        if row not in (study.rows[0], ONE_STAGE) and done.exists() and not own.exists():
            own.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(load_tensors(done), own)
        teacher = run.teacher()
    every = [bench_clip(clip, shared.data.vae, recipe.bench.seconds) for clip in shared.data.test]
    clips = [every[(seed * study.clips + each) % len(every)] for each in range(study.clips)]
    values = measured(load_pipeline(teacher), clips)
    # Of many rows what a finished training would go on from is most of their size.
    for checkpoint in recipe.output.glob("work/*/checkpoints/step-*"):
        remove_listed(checkpoint)
    write_json(_file(study, row, seed), {"mark": _mark(study, row, seed), "clips": values})
    return work


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


def _file(study: Study, row: str, seed: int) -> Path:
    return inside(study.out, "rows", f"{row.replace(' ', '-')}-seed-{seed}.json")


def _mark(study: Study, row: str, seed: int) -> str:
    """Changes with anything that a row's values follow from, but for the code."""
    recipe = study.recipe(row, seed).model_dump(mode="json", exclude={"name": True, "output": True, "engine": True})
    return hash_of([recipe, study.clips, SAMPLING_STEPS, METRICS_VERSION, VERSION])


def _is_done(study: Study, row: str, seed: int) -> bool:
    return bool(kept_json(_file(study, row, seed)).get("mark") == _mark(study, row, seed))


def _written(study: Study, page: Path) -> dict[str, Any]:
    """What is finished, by row and seed; the page and the values are written."""
    rows = {
        row: {
            str(seed): kept_json(_file(study, row, seed))["clips"]
            for seed in range(study.seeds)
            if _is_done(study, row, seed)
        }
        for row in study.rows
    }
    steps = {stage.name: stage.steps for stage in study.recipe(study.rows[0], 0).teacher.stages}
    results = {"rows": rows, "steps": steps, "clips": study.clips, "overrides": list(study.overrides)}
    write_json(inside(study.out, "results.json"), results)
    write_dropout_page(results, page)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m fada.studies.dropout.study`."""
    parser = argparse.ArgumentParser(prog="python -m fada.studies.dropout.study", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="trainings of every row, with seeds 0, 1, …")
    parser.add_argument("--clips", type=int, default=6, help="held-out clips that a seed is measured on")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument("--out", type=Path, default=Path("runs/v-express-dropout"), help="folder of everything")
    parser.add_argument("--page", type=Path, help="where the page goes; default: OUT/dropout.md")
    parser.add_argument("--so-far", action="store_true", help="train nothing: the page of what is finished")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of recipes/tiny/v-express.yaml")
    asked = parser.parse_args(arguments)
    study = Study(asked.seeds, asked.out, asked.clips, tuple(asked.overrides))
    run_study(study, SafeConsole(), asked.page or asked.out / "dropout.md", jobs=asked.jobs, trains=not asked.so_far)


if __name__ == "__main__":
    main()
