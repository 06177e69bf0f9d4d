"""A study of teachers over seeds: its rows are trained from nothing, measured, kept and found again, one by one.

What its rows are, what is measured of a model and how the page reads, each study says in a class of its own (dropout,
float). Rows of a seed are measured on the same held-out clips. A finished row is found again by what it follows from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from fada.data.shards.reading import ShardError, read_index
from fada.engine.tensor_files import load_tensors, save_tensors
from fada.eval.bench.results import fingerprint as hash_of
from fada.eval.bench.results import kept_json
from fada.eval.bench.systems import BenchClip
from fada.eval.metrics.catalogue import METRICS_VERSION
from fada.export.opening import load_pipeline
from fada.files.errors import FolderFault
from fada.files.folders import inside, take_folder
from fada.files.locks import locked
from fada.files.whole import remove_listed, write_json
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.recipe.schema import Recipe
from fada.run.data import RunData, features_of, prepare_data
from fada.run.training_run import Run, Shared
from fada.studies.side_by_side import side_by_side
from fada.studies.systems import bench_clip

QUIET = Console(quiet=True)
MADE_OF = "made_of.json"
"""In a study's folder: what its rows were trained on, by hash."""
Work = tuple[str, int]
"""A row and its seed."""
Kept = Mapping[str, Any]
"""What is kept of a row and seed: `clips`, by clip and name, and whatever else the study measures."""


@dataclass(frozen=True)
class TeacherStudy(ABC):
    """seeds: of every row; out: folder of everything; clips: held-out ones that a seed is measured on; overrides: of
    the recipe; given: a run whose codec and clips the rows share, None makes them in `OUT/base`; threads: of a
    training, None leaves it to the recipe."""

    seeds: int
    out: Path
    clips: int = 6
    overrides: tuple[str, ...] = ()
    given: Path | None = None
    threads: int | None = None
    kind: ClassVar[str]
    """Of the folder, and the name of the page where none is given."""
    version: ClassVar[int] = 1
    """Of what is kept of a row: raise it when that changes."""

    @property
    @abstractmethod
    def rows(self) -> tuple[str, ...]:
        """By name; the first is the one that others are compared with."""

    @abstractmethod
    def recipe(self, row: str, seed: int) -> Recipe:
        """Of one row and seed."""

    @abstractmethod
    def measured(self, row: str, built: AvatarPipeline, clips: Sequence[BenchClip]) -> dict[str, Any]:
        """What is kept of a trained row."""

    @abstractmethod
    def measured_with(self) -> list[Any]:
        """What a row's values follow from beside its recipe and the number of clips."""

    @abstractmethod
    def results(self, kept: Mapping[str, Mapping[str, Kept]]) -> dict[str, Any]:
        """What the page shows, of what is kept by row and seed."""

    @abstractmethod
    def write_page(self, results: Mapping[str, Any], page: Path) -> Path:
        """Write the page, and all values beside it."""

    def common(self, row: str, seed: int) -> list[str]:
        """What the recipe of every row says in place of the study's own: no students, a folder and the seed."""
        given = [f"output={self.out}/seed-{seed}/{row.replace(' ', '-')}", f"seed={seed}", "distill.phases=[]"]
        return given + ([] if self.threads is None else [f"engine.threads={self.threads}"])

    def starts_as(self, row: str) -> str | None:
        """The row whose first stage, trained alike, this one takes; None for rows that train it."""
        return None

    def base(self) -> Recipe:
        """Of what all rows share."""
        folder = inside(self.out, "base") if self.given is None else self.given
        return self.recipe(self.rows[0], 0).model_copy(update={"output": folder})

    @property
    def settings(self) -> str:
        """Overrides as a command line has them, each with a space in front."""
        return "".join(f" {each}" for each in self.overrides)

    def made_of(self) -> dict[str, str]:
        """Of which codec, encoder and clips the training shards are, by hash; empty while there are none."""
        try:
            return read_index(inside(self.base().output, "data", "train")).features
        except ShardError:
            return {}


def run_study(
    study: TeacherStudy,
    console: Console,
    page: Path,
    *,
    jobs: int = 1,
    trains: bool = True,
    only: Collection[str] | None = None,
) -> dict[str, Any]:
    """Train and measure what is missing, `jobs` seeds at a time; all values, also in `OUT/results.json`, and the page.

    Args:
        jobs: trainings side by side, each in a process of its own.
        trains: False writes the page of what is there.
        only: rows that are trained; None trains all. The page has all that are finished.

    Raises:
        FolderFault: the rows in the folder were trained on other clips, or with another codec.
        ValueError: no row has such a name, or the given run cannot be used.
    """
    unknown = sorted(set(only or ()) - set(study.rows))
    if unknown:
        raise ValueError(f"rows: no row named {unknown[0]!r}; choose from {', '.join(study.rows)}")
    with _working_in(study):
        groups = [group for group in _groups(study, jobs, only) if group] if trains else []
        if groups:
            _make_shared(study)
        with side_by_side(jobs) as run:
            for group in groups:
                for row, seed in run(_run_row, study, group):
                    console.print(f"seed {seed}: {row}", highlight=False)
                    _written(study, page)
        return _written(study, page)


def _groups(study: TeacherStudy, jobs: int, only: Collection[str] | None = None) -> Iterator[list[Work]]:
    """What is missing, in groups of what may be trained side by side: of a few seeds the rows that train their first
    stage, then those that take it from them."""
    asked = [row for row in study.rows if only is None or row in only]
    for first in range(0, study.seeds, jobs):
        seeds = range(first, min(first + jobs, study.seeds))
        missing = [(row, seed) for seed in seeds for row in asked if not _is_done(study, row, seed)]
        for leads in (True, False):
            yield [work for work in missing if (study.starts_as(work[0]) is None) is leads]


@contextmanager
def _working_in(study: TeacherStudy) -> Iterator[None]:
    with locked(study.out, "running the study"):
        take_folder(study.out, f"{study.kind}-study")
        yield


def _make_shared(study: TeacherStudy) -> None:
    """Clips, codec and encoders of all rows, or find them again; then the folder is theirs."""
    if study.given is None:
        with Run(study.base(), QUIET).opened("making what rows share") as run:
            data = run.data
    else:
        data = prepare_data(study.base(), study.given, QUIET, makes=False)
        _check_given(study, data)
    if study.clips > len(data.test):
        raise ValueError(
            f"clips: {study.clips} held-out clips are asked for, but there are {len(data.test)}; ask for fewer"
        )
    noted, now = inside(study.out, MADE_OF), study.made_of()
    before = kept_json(noted)
    if before and before != now:
        raise FolderFault(
            f"{study.out}: its rows were trained on other clips, or with another codec, than {study.base().output} "
            "holds now; give another folder with --out"
        )
    if not before:
        write_json(noted, now)


def _check_given(study: TeacherStudy, data: RunData) -> None:
    """Raises ValueError where the shards of a given run are not its codec's: nothing in it is made anew here."""
    made, own = study.made_of(), features_of(data.vae, data.encoder)
    if {name: made.get(name) for name in own} != own:
        raise ValueError(
            f"{study.given}: its training shards were made with another codec or audio encoder than it holds; repeat "
            "the command that makes the run, and let it finish"
        )


@cache
def _shared(study: TeacherStudy) -> Shared:
    """The same, once per process."""
    base = study.base()
    return Shared(prepare_data(base, base.output, QUIET, makes=False), study.out, study.out)


def _run_row(study: TeacherStudy, work: Work) -> Work:
    """Train a row's teacher with a seed, and keep what was measured of it."""
    (row, seed), shared = work, _shared(study)
    recipe, leading = study.recipe(row, seed), study.starts_as(row)
    with Run(recipe, QUIET, shared).opened("training the teacher") as run:
        if leading is not None:
            file = ("stages", f"1-{recipe.teacher.stages[0].name}.safetensors")
            done, own = inside(study.recipe(leading, seed).output, *file), inside(recipe.output, *file)
            if done.exists() and not own.exists():
                own.parent.mkdir(parents=True, exist_ok=True)
                save_tensors(load_tensors(done), own)
        teacher = run.teacher()
    test = shared.data.test
    chosen = [test[(seed * study.clips + each) % len(test)] for each in range(study.clips)]
    clips = [bench_clip(each, shared.data.vae, recipe.bench.seconds) for each in chosen]
    values = study.measured(row, load_pipeline(teacher), clips)
    # Of many rows what a finished training would go on from is most of their size.
    for checkpoint in recipe.output.glob("work/*/checkpoints/step-*"):
        remove_listed(checkpoint)
    write_json(_file(study, row, seed), {"mark": _mark(study, row, seed), **values})
    return work


def _file(study: TeacherStudy, row: str, seed: int) -> Path:
    return inside(study.out, "rows", f"{row.replace(' ', '-')}-seed-{seed}.json")


def _mark(study: TeacherStudy, row: str, seed: int) -> str:
    """Changes with anything that a row's values follow from, but for the code."""
    recipe = study.recipe(row, seed).model_dump(mode="json", exclude={"name": True, "output": True, "engine": True})
    return hash_of([recipe, study.clips, *study.measured_with(), METRICS_VERSION, study.version])


def _is_done(study: TeacherStudy, row: str, seed: int) -> bool:
    return bool(kept_json(_file(study, row, seed)).get("mark") == _mark(study, row, seed))


def _written(study: TeacherStudy, page: Path) -> dict[str, Any]:
    """What is finished, by row and seed; the page and the values are written."""
    kept = {
        row: {
            str(seed): kept_json(_file(study, row, seed)) for seed in range(study.seeds) if _is_done(study, row, seed)
        }
        for row in study.rows
    }
    steps = {stage.name: stage.steps for stage in study.recipe(study.rows[0], 0).teacher.stages}
    results = study.results(kept) | {"steps": steps, "clips": study.clips, "overrides": list(study.overrides)}
    write_json(inside(study.out, "results.json"), results)
    study.write_page(results, page)
    return results
