"""Recipe to report: the systems that are compared, at scales where the teacher is best, on held-out clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch.utils.tensorboard import SummaryWriter

from fada.data.clips.clip import Clip
from fada.engine.parallel import from_main, is_main, main_only
from fada.eval.bench.bench import measure_clips, run_bench
from fada.eval.bench.headroom import headroom_words
from fada.eval.bench.measure import Instruments
from fada.eval.bench.results import BenchResults, kept_json
from fada.eval.bench.summary import mean_of, metric_names
from fada.eval.bench.systems import BenchClip, System
from fada.eval.bench.undistilled import Search
from fada.eval.report import Sweep, write_report
from fada.export.opening import find_model, find_teacher
from fada.export.run_models import label_of
from fada.files.folders import MARK, inside, kind_of, take_folder
from fada.files.whole import clear_leftovers, write_json
from fada.generation.pipelines import open_pipeline
from fada.recipe.schema import Recipe
from fada.run.data import held_out
from fada.run.folder import working_in
from fada.studies.bench_setting import scale_notes, setting_of
from fada.studies.node_search import search_nodes
from fada.studies.sweeps import sweep_scales
from fada.studies.systems import bench_clip, opened, systems, undistilled_costs

SCALARS = ".fada-report"
"""How the names of a report's TensorBoard files end: only such are ever removed."""


@dataclass(frozen=True)
class _Asked:
    """What a recipe's benchmark measures, and where."""

    out: Path
    systems: list[System]
    clips: list[BenchClip]
    tools: Instruments
    sweeps: list[Sweep]
    scales: tuple[float, ...]
    searches: Mapping[str, Search]


def bench(recipe: Recipe, console: Console) -> Path:
    """Measure a finished run; the report's folder.

    Raises:
        ValueError: a model or held-out clips are missing.
    """
    with _asked(recipe, console) as asked, console.status("measuring") as status:
        results = run_bench(
            asked.systems,
            asked.clips,
            asked.out,
            seed=recipe.bench.seed,
            warmups=recipe.bench.warmups,
            repeats=recipe.bench.repeats,
            instruments=asked.tools,
            extra={"recipe": recipe.name, **_scales(recipe, asked.scales)},
            on_progress=lambda what, done, total: status.update(f"{what} ({done + 1} of {total})"),
        )
    title = f"{recipe.name}: NFE, quality and latency"
    written = write_report(results, title=title, sweeps=asked.sweeps, searches=asked.searches)
    _write_scalars(results, asked.out)
    for line in headroom_words(results):
        console.print(line, markup=False, highlight=False)
    console.print(f"report: {written['page']}")
    return asked.out


def bench_scales(recipe: Recipe, console: Console) -> None:
    """Prepare what `bench_share` in several processes needs: data, and the scales and nodes that spare clips choose."""
    with _asked(recipe, console):
        pass


def bench_share(recipe: Recipe, console: Console, rank: int, processes: int) -> None:
    """Measure one process's share of the clips; `bench` finds them measured, times and writes the report."""
    with _asked(recipe, console) as asked:
        measure_clips(
            asked.systems,
            asked.clips,
            asked.out,
            seed=recipe.bench.seed,
            instruments=asked.tools,
            rank=rank,
            processes=processes,
            on_progress=lambda what, done, total: console.print(f"process {rank}: {what} ({done + 1} of {total})"),
        )


@contextmanager
def _asked(recipe: Recipe, console: Console) -> Iterator[_Asked]:
    """The run is held while it is measured; of several processes, by the main one, before the others look at it."""
    with ExitStack() as held:
        main_only(lambda: held.enter_context(working_in(recipe, "measuring")))
        out = from_main(lambda: _take_report(recipe.output))
        yield from _measuring(recipe, out, console)


def _measuring(recipe: Recipe, out: Path, console: Console) -> Iterator[_Asked]:
    folder = recipe.output
    places = [find_teacher(recipe.teacher.path or folder)]
    places += [find_model(folder, phase.name) for phase in recipe.distill.phases]
    dtype = torch.bfloat16 if recipe.bench.precision == "bf16" else torch.float32
    teacher, *others = (open_pipeline(place).to(dtype) for place in places)
    students = {place.name: built for place, built in zip(places[1:], others, strict=True)}
    console.print(f"measuring {', '.join(label_of(place) for place in places)}", markup=False, highlight=False)
    measured, spare = _split(held_out(recipe, folder, console, makes=is_main()), recipe.bench.clips)
    clips = [bench_clip(clip, teacher.vae, recipe.bench.seconds) for clip in measured]
    # Of many spare clips no more are decoded than are asked for.
    used = spare[: max(recipe.bench.sweep_clips, recipe.bench.search_clips)]
    spare_clips = [bench_clip(clip, teacher.vae, recipe.bench.seconds) for clip in used]
    with opened([*clips, *spare_clips], recipe.bench.weights) as tools:
        sweeps, scales = sweep_scales(recipe, teacher, spare_clips, tools, out / "sweep.json", console, students)
        write_json(out / "scales.json", _scales(recipe, scales))
        section = recipe.bench
        reference = setting_of(
            recipe, section.teacher_steps, scales, solver=section.teacher_solver, spacing=section.teacher_spacing
        )
        searches = search_nodes(
            teacher,
            reference,
            undistilled_costs(recipe, students, scales),
            spare_clips[: section.search_clips],
            tools,
            section.seed,
            out / "nodes.json",
            console,
        )
        yield _Asked(out, systems(recipe, teacher, students, scales, searches), clips, tools, sweeps, scales, searches)


def _scales(recipe: Recipe, scales: tuple[float, ...]) -> dict[str, float]:
    return scale_notes(recipe.teacher.family.guidance.names, scales)


def _take_report(folder: Path) -> Path:
    """The report's folder in a run, marked as one; reports of earlier versions are known by what they hold.

    Raises:
        FolderFault: it holds what fada did not make.
    """
    out = inside(folder, "report")
    if kind_of(out) is None and (kept_json(out / "results.json").get("protocol") or (out / "scales.json").is_file()):
        write_json(out / MARK, {"kind": "report"})
    take_folder(out, "report")
    clear_leftovers(out)
    return out


def _write_scalars(results: BenchResults, out: Path) -> None:
    """Every system's means as TensorBoard scalars, beside the training's curves; those of an earlier report go."""
    for stale in out.glob(f"events.out.tfevents.*{SCALARS}"):
        stale.unlink()
    with SummaryWriter(str(out), filename_suffix=SCALARS) as writer:
        for metric in metric_names(results):
            for system in results.systems:
                mean = mean_of(results, system["name"], metric)
                if mean is not None:
                    writer.add_scalar(f"bench-{metric}/{system['name']}", mean.mean, 0)


def _split(test: Sequence[Clip], count: int) -> tuple[Sequence[Clip], Sequence[Clip]]:
    """Clips of the report, and spare held-out ones on which scales and nodes may be chosen."""
    if not len(test):
        raise ValueError("bench: there are no held-out clips; give data.test_shards, or data.world.test_clips")
    return test[:count], test[count:]
