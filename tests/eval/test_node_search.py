"""The search of solver and nodes on spare clips: what is tried, what is kept, and what wins."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fada.diffusion.paths import NoisePath
from fada.eval.bench.measure import Instruments
from fada.eval.bench.systems import GenerationResult
from fada.eval.bench.undistilled import SAMPLERS
from fada.studies import node_search, spare_clips
from fada.studies.bench_setting import Setting
from fada.studies.node_search import search_nodes
from fada.studies.systems import Cost

QUIET = Console(quiet=True)
PATH = NoisePath(beta_schedule="scaled_linear")
TEACHER: Any = SimpleNamespace(model=SimpleNamespace(path=PATH), vae=None, audio_encoder=None)
NAMES = ("reference", "audio")
REFERENCE = Setting(25, (2.5, 6.5), NAMES)
FEW = Cost("teacher-6-conditional", "unguided, 6 steps", Setting(6, (2.5, 6.5), NAMES, "none"), 6, True)
GUIDED = Cost("teacher-2x3", "guided, 2 x 3", Setting(2, (2.5, 6.5), NAMES), 6, True)
NOISE = dict(zip(SAMPLERS, (9.0, 7.0, 2.0, 8.0, 6.0, 4.0), strict=True))
"""How far a sampler's pictures are from the truth."""
AWAY = dict(zip(SAMPLERS, (0.5, 0.1, 0.4, 0.6, 0.7, 0.8), strict=True))
"""How far its latents are from the reference's."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Setting]]:
    """A teacher whose pictures and latents are as far off as NOISE and AWAY say; with which it was called."""
    seen: list[tuple[str, Setting]] = []

    def generator(built: Any, setting: Setting) -> Any:
        def generate(clip: Any, seed: int) -> GenerationResult:
            seen.append((clip.key, setting))
            is_reference = setting.steps == 25
            sampler = (setting.solver, setting.spacing)
            noise = 0.0 if is_reference else NOISE[sampler]
            random = np.random.default_rng(seed).normal(0, 1, clip.truth_frames.shape)
            frames = np.clip(clip.truth_frames + noise * random, 0, 255).astype(np.uint8)
            away = 0.0 if is_reference else AWAY[sampler]
            return GenerationResult(frames, clip.truth_latents + away, {"denoise": 1.0}, 6, 1, 0.1)

        return generate

    monkeypatch.setattr(node_search, "generator", generator)
    monkeypatch.setattr(spare_clips, "fingerprint", lambda model: "teacher")
    monkeypatch.setattr(spare_clips, "features_of", lambda vae, encoder: {})
    return seen


def search(clips: list[Any], tools: Instruments, store: Path, costs: tuple[Cost, ...] = (FEW, GUIDED)) -> Any:
    return search_nodes(TEACHER, REFERENCE, costs, clips, tools, 0, store, QUIET)


def test_every_sampler_is_tried_at_every_cost_on_every_spare_clip(calls, make_clip, instruments, tmp_path) -> None:
    clips = [make_clip(index) for index in range(2)]
    found = search(clips, instruments, tmp_path / "nodes.json")
    assert list(found) == ["teacher-6-conditional", "teacher-2x3"]
    assert [each.sampler for each in found["teacher-2x3"].tried] == list(SAMPLERS)
    # The reference and twice six samplers, on two clips each.
    assert len(calls) == 2 * (1 + 6 + 6)
    assert {setting.guidance for _, setting in calls if setting.steps == 6} == {"none"}
    assert found["teacher-2x3"].clips == ["clip-0", "clip-1"]


def test_the_clearest_pictures_and_the_nearest_latents_win(calls, make_clip, instruments, tmp_path) -> None:
    found = search([make_clip(index) for index in range(2)], instruments, tmp_path / "nodes.json")["teacher-2x3"]
    assert found.best.sampler == ("ddim", "noise_share")
    assert found.nearest.sampler == ("ddim", "log_snr")
    assert [each.distance for each in found.tried] == pytest.approx([AWAY[each] ** 2 for each in SAMPLERS], rel=1e-5)


def test_nothing_is_tried_twice(calls, make_clip, instruments, tmp_path) -> None:
    clips, store = [make_clip(index) for index in range(2)], tmp_path / "nodes.json"
    first = search(clips, instruments, store)
    made = len(calls)
    assert search(clips, instruments, store) == first
    assert len(calls) == made
    search(clips[:1], instruments, store)
    assert len(calls) == made + 13


def test_a_search_that_was_broken_off_goes_on(calls, make_clip, instruments, tmp_path) -> None:
    clips, store = [make_clip(0)], tmp_path / "nodes.json"
    whole = search(clips, instruments, store)
    kept = json.loads(store.read_text())
    names = list(kept["measured"])
    kept["measured"] = {name: kept["measured"][name] for name in names[:4]}
    store.write_text(json.dumps(kept))
    calls.clear()
    assert search(clips, instruments, store) == whole
    # What is left, and the reference's latents once more.
    assert len(calls) == len(names) - 4 + 1


def test_without_spare_clips_nothing_is_searched(calls, instruments, tmp_path) -> None:
    assert search([], instruments, tmp_path / "nodes.json") == {}
    assert calls == []


def test_settings_at_the_plain_sampler_are_named_as_ever() -> None:
    plain = Setting(6, (2.5, 6.5), NAMES, "none")
    assert str(plain) == "Setting(steps=6, reference_scale=2.5, audio_scale=6.5, guidance='none')"
    assert plain.sampler == {}
    other = Setting(6, (2.5, 6.5), NAMES, "none", "dpmpp_2m", "noise_share")
    assert str(other) == str(plain)[:-1] + ", solver='dpmpp_2m', spacing='noise_share')"
    assert other.sampler == {"solver": "dpmpp_2m", "spacing": "noise_share"}
    assert (plain.notes, plain.named) == (
        {"reference_scale": 2.5, "audio_scale": 6.5},
        {"reference": 2.5, "audio": 6.5},
    )


def test_settings_of_other_branches_are_named_by_them_in_their_order() -> None:
    setting = Setting(6, (2.0, 4.0, 1.5), ("tempo", "mood", "light"))
    assert str(setting) == "Setting(steps=6, tempo_scale=2.0, mood_scale=4.0, light_scale=1.5, guidance='auto')"
    assert setting.notes == {"tempo_scale": 2.0, "mood_scale": 4.0, "light_scale": 1.5}
