"""Recipe to report: the systems that are compared, at scales where the teacher is best, on held-out clips."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from torch.utils.tensorboard import SummaryWriter

from fada.build.data import prepare_data
from fada.build.models import find_model, find_teacher
from fada.build.run_folder import open_run
from fada.build.sweeps import sweep_scales
from fada.build.systems import bench_clip, opened, systems
from fada.data.clip import Clip
from fada.eval.bench import measure_clips, run_bench
from fada.eval.measure import Instruments
from fada.eval.report import Sweep, write_report
from fada.eval.results import BenchResults, write_json
from fada.eval.summary import mean_of, metric_names
from fada.eval.systems import BenchClip, System
from fada.recipe.schema import Recipe
from fada.student.pipeline import open_pipeline


@dataclass(frozen=True)
class _Asked:
    """What a recipe's benchmark measures, and where."""

    out: Path
    systems: list[System]
    clips: list[BenchClip]
    tools: Instruments
    sweeps: list[Sweep]
    scales: tuple[float, float]


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
            extra={"recipe": recipe.name, "reference_scale": asked.scales[0], "audio_scale": asked.scales[1]},
            on_progress=lambda what, done, total: status.update(f"{what} ({done + 1} of {total})"),
        )
    written = write_report(results, title=f"{recipe.name}: NFE, quality and latency", sweeps=asked.sweeps)
    _write_scalars(results, asked.out)
    console.print(f"report: {written['page']}")
    return asked.out


def bench_scales(recipe: Recipe, console: Console) -> None:
    """Prepare what `bench_share` in several processes needs: data, and the scales where a sweep chooses them."""
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
    folder = open_run(recipe)
    out = folder / "report"
    data = prepare_data(recipe, folder, console)
    teacher = open_pipeline(find_teacher(recipe.teacher.path or folder))
    students = {phase.name: open_pipeline(find_model(folder, phase.name)) for phase in recipe.distill.phases}
    measured, spare = _split(data.test, recipe.bench.clips)
    clips = [bench_clip(clip, data, recipe.bench.seconds) for clip in measured]
    out.mkdir(exist_ok=True)
    spare_clips = [bench_clip(clip, data, recipe.bench.seconds) for clip in spare]
    with opened([*clips, *spare_clips], recipe.bench.weights) as tools:
        sweeps, scales = sweep_scales(recipe, teacher, spare_clips, tools, out / "sweep.json", console)
        write_json(out / "scales.json", {"reference_scale": scales[0], "audio_scale": scales[1]})
        yield _Asked(out, systems(recipe, teacher, students, scales), clips, tools, sweeps, scales)


def _write_scalars(results: BenchResults, out: Path) -> None:
    """Every system's means as TensorBoard scalars, beside the training's curves."""
    for stale in out.glob("events.out.tfevents.*"):
        stale.unlink()
    with SummaryWriter(str(out)) as writer:
        for metric in metric_names(results):
            for system in results.systems:
                mean = mean_of(results, system["name"], metric)
                if mean is not None:
                    writer.add_scalar(f"bench-{metric}/{system['name']}", mean.mean, 0)


def _split(test: list[Clip], count: int) -> tuple[list[Clip], list[Clip]]:
    """Clips of the report, and spare held-out ones on which scales may be chosen."""
    if not test:
        raise ValueError("bench: there are no held-out clips; give data.test_shards, or data.world.test_clips")
    return test[:count], test[count:]
