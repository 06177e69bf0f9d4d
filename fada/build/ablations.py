"""Every ablation row of the paper, several seeds each, from one teacher: trained, measured, kept; resumable.

Data, VAE and teacher are made once; window ends of equal settings are solved once per seed; rows that differ only in
how the student is called share its training. Each finished (row, seed) is a JSON file and is not made again.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from fada.build.ablation_baselines import TEACHER, baselines_of, calls_of, costs_of, reference_of
from fada.build.ablation_rows import rows
from fada.build.data import fingerprint
from fada.build.models import load_pipeline
from fada.build.node_search import search_nodes
from fada.build.run import Shared
from fada.build.systems import Setting, bench_clip, generator, instruments
from fada.build.training import distill_shared, find_shared_parts, shared_parts
from fada.engine.tensor_files import load_tensors, save_tensors
from fada.eval.measure import measure_clip
from fada.eval.metrics.catalogue import METRICS_VERSION
from fada.eval.results import fingerprint as hash_of
from fada.eval.results import kept_json
from fada.eval.set_metrics import latent_set_metrics
from fada.eval.systems import BenchClip
from fada.files.folders import MARK, check_folder, inside, kind_of, take_folder
from fada.files.json_lines import read_lines
from fada.files.locks import locked
from fada.files.whole import clear_leftovers, write_json
from fada.recipe.errors import RecipeError
from fada.recipe.loading import load_recipe
from fada.recipe.schema import Recipe
from fada.student.generation import AvatarPipeline

MEASURES = ("latent_mse_reference", "latent_mse_truth", "mouth_correlation_synth", "identity_error_synth")
"""Per clip; `fd_latent_synth` over all clips stands beside them."""
SET_MEASURE = "fd_latent_synth"
KIND = "ablations"
"""What fada's mark says in the folder of everything."""
PARTS_VERSION = 2
"""Of what is kept of a baseline: raise it when that changes."""
SHARED_SECTIONS = ("data", "clip", "audio", "vae", "noise", "teacher")
"""What all rows must have in common with the base, because it is made once."""


@dataclass(frozen=True)
class Plan:
    """What is to be run: plain values, so that it can be sent to another process.

    out: the folder of everything; overrides: `key=value`, of every row; threads: of torch, per process; base: a
    finished run whose data, VAE and teacher are used; None makes them.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    overrides: tuple[str, ...] = ()
    threads: int | None = None
    base: Path | None = None

    def recipe(self, name: str, seed: int) -> Recipe:
        """A row's recipe with its seed and its place under `out`."""
        place = self.out / "students" / name / f"seed-{seed}"
        own = [f"name={name}", f"seed={seed}", f"output={place}", "engine.preview_every=0"]
        own += [] if self.threads is None else [f"engine.threads={self.threads}"]
        return load_recipe(f"ablations/{name}", [*self.overrides, *own])

    def first(self) -> Recipe:
        """The first row's recipe: what all rows have in common can be read in it."""
        return self.recipe(self.names[0], self.seeds[0])

    def base_recipe(self) -> Recipe:
        """The recipe whose folder holds data, VAE and teacher."""
        if self.base is not None:
            return load_recipe(self.base / "recipe.yaml").model_copy(update={"output": self.base})
        return load_recipe(f"ablations/{self.names[0]}", [*self.overrides, "name=base", f"output={self.out / 'base'}"])


def run_ablations(plan: Plan, jobs: int, console: Console) -> dict[str, Any]:
    """Train and measure what is missing; all results, also written to `OUT/ablations.json`.

    Raises:
        RecipeError: an unknown row, no seeds, or rows that do not share their base.
    """
    check_plan(plan)
    with _working_in(plan):
        return _run(plan, jobs, console)


def _run(plan: Plan, jobs: int, console: Console) -> dict[str, Any]:
    baselines = _baselines(plan, _parts(plan), console)
    # Seeds outermost: what is stopped early has every row, with fewer seeds.
    work = [(group, seed) for seed in plan.seeds for group in _groups(plan)]
    missing = [(group, seed) for group, seed in work if not all(_is_done(plan, name, seed) for name in group)]
    console.print(f"ablations: {len(work) - len(missing)} of {len(work)} trainings are there, {jobs} at a time")
    with _pool(jobs) as run:
        for done, (group, seed) in enumerate(run(plan, missing)):
            console.print(f"{done + 1} of {len(missing)}: {', '.join(group)}, seed {seed}")
    return _results(plan, baselines)


def results_so_far(plan: Plan, console: Console) -> dict[str, Any]:
    """What is finished of the rows and seeds, with the baselines; also written to `OUT/ablations.json`.

    Raises:
        RecipeError: an unknown row, no seeds, or rows that do not share their base.
    """
    check_plan(plan)
    with _working_in(plan):
        return _results(plan, _baselines(plan, _parts(plan), console))


@contextmanager
def _working_in(plan: Plan) -> Iterator[None]:
    """The folder of everything, taken and held while the block runs; folders of earlier versions are known by `base`.

    Raises:
        FolderFault: it holds what fada did not make.
        FolderBusy: another command works in it.
    """
    is_earlier = "baselines" in kept_json(plan.out / "ablations.json") or (plan.out / "base" / "recipe.yaml").is_file()
    if is_earlier and kind_of(plan.out) is None:
        write_json(plan.out / MARK, {"kind": KIND})
    check_folder(plan.out, KIND)
    with locked(plan.out, "running ablations"):
        take_folder(plan.out, KIND)
        for folder in (plan.out, *sorted((plan.out / "targets").glob("*"))):
            clear_leftovers(folder)
        # Once, before all: the processes that train rows find them.
        shared_parts(plan.base_recipe(), plan.out / "targets", Console(quiet=True))
        yield


def _results(plan: Plan, baselines: dict[str, Any]) -> dict[str, Any]:
    parts = _parts(plan)
    measured = {
        name: {str(seed): _read(plan, name, seed) for seed in plan.seeds if _is_done(plan, name, seed)}
        for name in plan.names
    }
    results = {
        "schema_version": 1,
        "seeds": list(plan.seeds),
        "overrides": list(plan.overrides),
        "clips": [clip.key for clip in parts.clips],
        "recipe": json.loads(plan.first().model_dump_json(exclude={"output", "name"})),
        "baselines": baselines,
        "rows": {name: found for name, found in measured.items() if found},
    }
    write_json(plan.out / "ablations.json", results)
    return results


def check_plan(plan: Plan) -> None:
    """Nothing, if the rows exist and share what is made once.

    Raises:
        RecipeError: otherwise, naming the row.
    """
    unknown = [name for name in plan.names if name not in rows()]
    if unknown or not plan.names:
        raise RecipeError(f"ablations: no row named {', '.join(unknown) or 'nothing'}; choose from {', '.join(rows())}")
    if not plan.seeds:
        raise RecipeError("ablations: got no seeds; give one at least, three for intervals")
    base = plan.base_recipe()
    for name in plan.names:
        recipe = plan.recipe(name, plan.seeds[0])
        differing = [each for each in SHARED_SECTIONS if getattr(recipe, each) != getattr(base, each)]
        differing += ["bench"] if recipe.bench != plan.first().bench else []
        if differing:
            raise RecipeError(
                f"ablations/{name}: {', '.join(differing)} differ from those of {plan.base or plan.names[0]}; rows "
                "share data, VAE, teacher and measurement: give all the same, or another base"
            )


def _groups(plan: Plan) -> list[tuple[str, ...]]:
    """Rows by training: those of a group differ only in how the student is called; the first one's recipe trains."""
    found: dict[str, list[str]] = {}
    for name in plan.names:
        content = plan.recipe(name, 0).model_dump(mode="json", exclude={"name", "output", "bench"})
        content["distill"].pop("sampling")
        found.setdefault(hash_of(content), []).append(name)
    return [tuple(group) for group in found.values()]


@dataclass(frozen=True)
class _Parts:
    """What all rows have in common; mark: of the teacher's weights."""

    shared: Shared
    clips: list[BenchClip]
    mark: str

    def clip_marks(self) -> list[str]:
        """Of the held-out clips: change when they do."""
        return [clip.measured_hash() for clip in self.clips]


@cache
def _parts(plan: Plan) -> _Parts:
    """Data, VAE, teacher and held-out clips; once per process."""
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    bench = plan.first().bench
    shared = find_shared_parts(plan.base_recipe(), inside(plan.out, "targets"), Console(quiet=True))
    if len(shared.data.test) < bench.clips:
        raise RecipeError(
            f"ablations: {bench.clips} held-out clips are to be measured, {len(shared.data.test)} are there"
        )
    clips = [bench_clip(clip, shared.data, bench.seconds) for clip in shared.data.test[: bench.clips]]
    return _Parts(shared, clips, fingerprint(load_pipeline(shared.teacher).model))


@contextmanager
def _pool(jobs: int) -> Iterator[Any]:
    """A function that runs trainings, `jobs` side by side, and yields each when it is finished."""
    if jobs == 1:
        yield lambda plan, work: map(_run_group, [plan] * len(work), work)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield lambda plan, work: pool.map(_run_group, [plan] * len(work), work)


def _run_group(plan: Plan, work: tuple[tuple[str, ...], int]) -> tuple[tuple[str, ...], int]:
    """Train a student, and measure it in every way that its rows call it."""
    group, seed = work
    parts = _parts(plan)
    recipe = plan.recipe(group[0], seed)
    (student,) = distill_shared(recipe, parts.shared, Console(quiet=True))
    for name in group:
        if _is_done(plan, name, seed):
            continue
        measured = _measured(load_pipeline(student), calls_of(plan.recipe(name, seed)), parts.clips, plan)
        log = recipe.output / "work" / student.name / "log.jsonl"
        write_json(
            _file(plan, name, seed), {"mark": _mark(plan, name, seed), **measured, "training": training_means(log)}
        )
    return work


def _baselines(plan: Plan, parts: _Parts, console: Console) -> dict[str, Any]:
    """The lines beside the rows (ablation_baselines.py), each kept when made."""
    recipes = {name: plan.recipe(name, plan.seeds[0]) for name in plan.names}
    teacher, bench = load_pipeline(parts.shared.teacher), plan.first().bench
    costs = costs_of(list(recipes.values()))
    spare = parts.shared.data.test[bench.clips : bench.clips + bench.search_clips]
    spare_clips = [bench_clip(clip, parts.shared.data, bench.seconds) for clip in spare]
    searches = search_nodes(
        teacher, reference_of(plan.first()), costs, spare_clips, instruments([*parts.clips, *spare_clips]), bench.seed,
        plan.out / "nodes.json", console,
    )  # fmt: skip
    file = plan.out / "baselines.json"
    kept = kept_json(file)
    found = {}
    for each in baselines_of(recipes, teacher, costs, searches):
        scheduler = each.built.scheduler.windows if each.starts else None
        made_of = [str(each.setting), str(scheduler), str(each.built.config.gamma), PARTS_VERSION]
        mark = hash_of([parts.mark, *made_of, parts.clip_marks(), METRICS_VERSION])
        if kept.get(each.name, {}).get("mark") != mark:
            console.print(f"measuring: {each.name}", markup=False, highlight=False)
            measured = _measured(each.built, each.setting, parts.clips, plan, keep=each.name == TEACHER)
            kept[each.name] = {"mark": mark, **measured}
            write_json(file, kept)
        found[each.name] = {key: value for key, value in kept[each.name].items() if key != "mark"}
        found[each.name] |= {"role": each.role, "starts": list(each.starts)}
    found[TEACHER]["spare_clips"] = [clip.key for clip in spare_clips]
    return found


def _measured(
    built: AvatarPipeline, setting: Setting, clips: Sequence[BenchClip], plan: Plan, keep: bool = False
) -> dict[str, Any]:
    """Values of every clip, the Fréchet distance of all, and evaluations per clip; `keep` makes it the reference."""
    tools, values, latents, counted = instruments(clips), {}, [], set()
    seed = plan.first().bench.seed
    for clip in clips:
        made = generator(built, setting)(clip, clip.seed(seed))
        assert made.latents is not None
        store = plan.out / "teacher-latents" / f"{clip.key}.safetensors"
        if keep:
            save_tensors({"latents": made.latents}, store)
        found = measure_clip(clip, made.frames, made.latents, tools, load_tensors(store)["latents"]).values
        values[clip.key] = {name: found[name] for name in MEASURES}
        latents.append(made.latents)
        counted.add(made.nfe)
    (frechet,) = (row for row in latent_set_metrics("", latents, clips) if row["metric"] == SET_MEASURE)
    (nfe,) = counted
    return {"nfe": nfe, "clips": values, SET_MEASURE: frechet["value"], "without": frechet["without"]}


def training_means(log: Path) -> dict[str, float]:
    """Means over the second half of a training's log: losses, ratio and weight of ground truth, share without it."""
    lines = read_lines(log)
    last = lines[-1]["step"]
    late = [line for line in lines if line["step"] > last / 2]
    names = ("loss_distill", "loss_ground_truth", "ratio_median", "ratio_A", "ratio_B", "weight_mean", "dead_share")
    columns = {name: [line[name] for line in late if line.get(name) is not None] for name in names}
    return {name: float(np.mean(values)) for name, values in columns.items() if values and np.isfinite(values).all()}


def _file(plan: Plan, name: str, seed: int) -> Path:
    return plan.out / "rows" / f"{name}-seed-{seed}.json"


def _mark(plan: Plan, name: str, seed: int) -> str:
    """Changes with anything that a row's values follow from, but for the code."""
    parts = _parts(plan)
    # Without defaults: a field that a later version adds must not make finished rows look unfinished.
    recipe = plan.recipe(name, seed).model_dump(
        mode="json", exclude={"name": True, "output": True, "engine": True}, exclude_defaults=True
    )
    return hash_of([recipe, parts.mark, parts.clip_marks(), METRICS_VERSION])


def _is_done(plan: Plan, name: str, seed: int) -> bool:
    return kept_json(_file(plan, name, seed)).get("mark") == _mark(plan, name, seed)


def _read(plan: Plan, name: str, seed: int) -> dict[str, Any]:
    return {key: value for key, value in kept_json(_file(plan, name, seed)).items() if key != "mark"}
