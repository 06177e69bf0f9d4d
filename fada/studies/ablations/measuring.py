"""The clips on which rows are measured, what is kept of a row, and the lines beside the rows.

Every seed has held-out clips of its own, half as set A and half beyond it, until all were used; then it goes round. So
an interval over seeds is one over trainings and over clips. Lines beside the rows are measured on all of them, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from fada.engine.tensor_files import load_tensors, save_tensors
from fada.eval.bench.measure import measure_clip
from fada.eval.bench.results import fingerprint as hash_of
from fada.eval.bench.results import kept_json
from fada.eval.bench.systems import BenchClip
from fada.eval.metrics.catalogue import METRICS_VERSION
from fada.eval.statistics.set_metrics import latent_set_metrics
from fada.export.opening import load_pipeline
from fada.files.folders import inside
from fada.files.json_lines import read_lines
from fada.files.whole import write_json
from fada.generation.avatar_pipeline import AvatarPipeline
from fada.recipe.errors import RecipeError
from fada.run.data import fingerprint
from fada.run.training import find_shared_parts
from fada.run.training_run import Shared
from fada.studies.ablations.baselines import TEACHER, baselines_of, costs_of, reference_of
from fada.studies.ablations.plan import Plan
from fada.studies.ablations.rows import TEACHER_B, Half
from fada.studies.bench_setting import Setting
from fada.studies.node_search import search_nodes
from fada.studies.systems import bench_clip, generator, instruments

MEASURES = ("latent_mse_reference", "latent_mse_truth", "mouth_correlation_synth", "identity_error_synth")
"""Per clip; `fd_latent_synth` over all clips stands beside them."""
SET_MEASURE = "fd_latent_synth"
MOST_CLIPS = 24
"""Held-out clips that seeds take in turn: the lines beside the rows are measured on all of them."""
PARTS_VERSION = 3
"""Of what is kept of a row or baseline: raise it when that changes."""


@dataclass(frozen=True)
class Parts:
    """What all rows have in common; mark: of the teacher's weights; clips: the held-out ones; spare: others, on which
    things are chosen."""

    shared: Shared
    clips: list[BenchClip]
    spare: list[BenchClip]
    mark: str

    def clip_marks(self, clips: Sequence[BenchClip]) -> list[str]:
        """Of held-out clips: change when they do."""
        return [clip.measured_hash() for clip in clips]


@cache
def parts_of(plan: Plan) -> Parts:
    """Data, VAE, teacher and held-out clips; once per process.

    Raises:
        RecipeError: a seed's clips are more than there are.
    """
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    bench = plan.first().bench
    shared = find_shared_parts(plan.base_recipe(), inside(plan.out, "targets"), Console(quiet=True))
    clips = [bench_clip(clip, shared.data.vae, bench.seconds) for clip in shared.data.test]
    spare = min(bench.search_clips, max(0, len(clips) - bench.clips))
    if len(clips) < bench.clips:
        raise RecipeError(f"ablations: {bench.clips} held-out clips are to be measured, {len(clips)} are there")
    pool = max(MOST_CLIPS, bench.clips)
    return Parts(shared, clips[spare : spare + pool], clips[:spare], fingerprint(load_pipeline(shared.teacher).model))


def half_of(clip: BenchClip) -> Half:
    """Whether a held-out clip is as set A, or shows what it leaves out."""
    return "beyond" if clip.meta.get("world", {}).get("reach") == "beyond" else "narrow"


def clips_of_seed(clips: Sequence[BenchClip], count: int, seed: int) -> list[BenchClip]:
    """A seed's own clips: of each half as many, taken in turn."""
    halves = [found for half in ("narrow", "beyond") if (found := [clip for clip in clips if half_of(clip) == half])]
    chosen = []
    for place, half in enumerate(halves):
        share = count // len(halves) + (place < count % len(halves))
        chosen += [half[(seed * share + each) % len(half)] for each in range(min(share, len(half)))]
    return chosen


def measured(
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


def measured_baselines(plan: Plan, parts: Parts, console: Console) -> dict[str, Any]:
    """The lines beside the rows (ablation_baselines.py), each kept when made."""
    recipes = {name: plan.recipe(name, plan.seeds[0]) for name in plan.names if name != TEACHER_B}
    recipes = recipes or {"perflow": plan.recipe("perflow", plan.seeds[0])}
    teacher, bench = load_pipeline(parts.shared.teacher), plan.first().bench
    costs = costs_of(list(recipes.values()))
    searches = search_nodes(
        teacher, reference_of(plan.first()), costs, parts.spare, instruments([*parts.clips, *parts.spare]), bench.seed,
        plan.out / "nodes.json", console,
    )  # fmt: skip
    file = plan.out / "baselines.json"
    kept = kept_json(file)
    found = {}
    for each in baselines_of(recipes, teacher, costs, searches):
        scheduler = each.built.scheduler.windows if each.starts else None
        made_of = [str(each.setting), str(scheduler), str(each.built.config.gamma), PARTS_VERSION]
        mark = hash_of([parts.mark, *made_of, parts.clip_marks(parts.clips), METRICS_VERSION])
        if kept.get(each.name, {}).get("mark") != mark:
            console.print(f"measuring: {each.name}", markup=False, highlight=False)
            values = measured(each.built, each.setting, parts.clips, plan, keep=each.name == TEACHER)
            kept[each.name] = {"mark": mark, **values}
            write_json(file, kept)
        found[each.name] = {key: value for key, value in kept[each.name].items() if key != "mark"}
        found[each.name] |= {"role": each.role, "starts": list(each.starts)}
    found[TEACHER]["spare_clips"] = [clip.key for clip in parts.spare]
    return found


def training_means(log: Path) -> dict[str, float]:
    """Means over the second half of a training's log: losses, ratio and weight of ground truth, share without it."""
    lines = read_lines(log)
    last = lines[-1]["step"]
    late = [line for line in lines if line["step"] > last / 2]
    names = ("loss_distill", "loss_ground_truth", "ratio_median", "ratio_A", "ratio_B", "weight_mean", "dead_share")
    columns = {name: [line[name] for line in late if line.get(name) is not None] for name in names}
    return {name: float(np.mean(values)) for name, values in columns.items() if values and np.isfinite(values).all()}
