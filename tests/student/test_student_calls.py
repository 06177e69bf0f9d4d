"""How a student is called belongs to its folder: its sampler, and whether it is guided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fada.generation.avatar_pipeline import PipelineOutput
from fada.generation.pipelines import open_pipeline
from fada.recipe import load_recipe
from fada.studies.systems import systems


def call(built: Any, **options: Any) -> PipelineOutput:
    image = np.linspace(0, 255, 16 * 16 * 3).astype(np.uint8).reshape(16, 16, 3)
    sound = np.sin(np.arange(16000 // 25 * 8) / 20).astype(np.float32)
    return built(image, sound, steps=4, decode=False, **options)


@pytest.fixture(scope="module")
def saved(student_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student's folder that says how it is called."""
    folder = tmp_path_factory.mktemp("models") / "tcd"
    open_pipeline(student_run / "students" / "fast", gamma=0.3, guidance="none").save_pretrained(folder)
    return folder


def test_a_saved_student_is_called_without_guidance_if_it_says_so(student_run: Path, saved: Path) -> None:
    built = open_pipeline(saved)
    assert (built.config.gamma, built.config.guidance) == (0.3, "none")
    assert torch.equal(call(built, seed=1).latents, call(built, seed=1, guidance="none").latents)
    assert not torch.equal(call(built, seed=1).latents, call(built, seed=1, guidance="embedded").latents)
    assert call(built).nfe == 4
    usual = open_pipeline(student_run / "students" / "fast")
    assert (usual.config.gamma, usual.config.guidance) == (None, "auto")


def test_the_trajectory_sampler_draws_its_noise_by_the_seed(student_run: Path, saved: Path) -> None:
    built = open_pipeline(saved)
    first = call(built, seed=1).latents
    assert torch.equal(first, call(built, seed=1).latents)
    still = call(open_pipeline(student_run / "students" / "fast", gamma=0.0, guidance="none"), seed=1).latents
    windowed = call(open_pipeline(student_run / "students" / "fast", guidance="none"), seed=1).latents
    assert not torch.equal(first, still)
    # Four jumps without noise are four windows of one step each.
    torch.testing.assert_close(still, windowed)


def test_the_report_expects_the_evaluations_of_how_a_student_is_called(student_run: Path, saved: Path) -> None:
    recipe, teacher = load_recipe("ablations/without-cfg"), open_pipeline(student_run / "teacher")
    students = {"plain": open_pipeline(saved), "told": open_pipeline(student_run / "students" / "fast")}
    found = {system.name: system for system in systems(recipe, teacher, students, (1.5, 2.0))}
    assert found["plain-6"].description == "student, 6 steps, no guidance, 1 pass"
    assert found["told-6"].description == "student, 6 steps, scales inside the network, 1 pass"
