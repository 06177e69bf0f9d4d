"""``fada bench compare`` at the command line, and ``fada bench RECIPE`` beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fada.cli.bench_compare import _labels

CLIPS = {f"clip-{index}": "hash" for index in range(4)}


def run_folder(folder: Path, psnr: float, seed: int = 0) -> Path:
    """A run with a report of one system, whose PSNR is given."""
    system = {"name": "fast-6", "is_reference": True, "fingerprint": f"{psnr}", "notes": {}}
    rows = [
        {"system": "fast-6", "kind": "system", "clip": clip, "metrics": {"psnr_truth": psnr + place}, "reasons": {}}
        for place, clip in enumerate(CLIPS)
    ]
    protocol = {"seed": seed, "clips": CLIPS, "fingerprint": "abc"}
    content = {"schema_version": 1, "protocol": protocol, "environment": {}, "systems": [system], "rows": rows}
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "results.json").write_text(json.dumps(content | {"timing": [], "set_metrics": []}))
    return folder


def test_two_runs_are_compared_in_the_terminal_and_in_files(cli, tmp_path) -> None:
    old, new = run_folder(tmp_path / "old", 20.0), run_folder(tmp_path / "new", 21.5)
    outcome = cli("bench", "compare", str(old), str(new / "report"), "--out", str(tmp_path / "out"))
    assert outcome.code == 0
    assert "A is old (protocol abc), B is new (protocol abc); 4 clips in common" in outcome.out
    line = next(line for line in outcome.out.splitlines() if "+1.50 ± 0.00" in line)
    assert line.split()[-1] == "better"
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["quality"][0]["word"] == "better"
    assert "# new against old" in (tmp_path / "out" / "comparison.md").read_text()


def test_runs_measured_differently_are_refused_with_the_key(cli, tmp_path) -> None:
    old, new = run_folder(tmp_path / "old", 20.0), run_folder(tmp_path / "new", 21.5, seed=3)
    outcome = cli("bench", "compare", str(old), str(new))
    assert outcome.code == 2
    assert "protocols differ in seed (0 and 3)" in outcome.err


def test_a_missing_run_is_one_line(cli, tmp_path) -> None:
    outcome = cli("bench", "compare", str(tmp_path / "none"), str(tmp_path))
    assert outcome.code == 2
    assert "none: no results.json here or in report/" in outcome.err


def seed_folder(folder: Path, student: float, seed: int = 0) -> Path:
    """A run whose student's identity errors lie so far from those of its undistilled rival; the teacher has 1 less."""
    roles = {"teacher-75": "reference", "teacher-2x3": "alternative", "fast-6": "candidate"}
    flags = [f"is_{role}" for role in ("reference", "alternative", "candidate")]
    systems = [
        {"name": name, "fingerprint": name, "notes": {}, **{flag: flag == f"is_{role}" for flag in flags}}
        for name, role in roles.items()
    ]
    away = {"teacher-75": -1.0, "teacher-2x3": 0.0, "fast-6": student}
    rows = [
        {"system": name, "kind": "system", "clip": clip, "nfe": 75 if name == "teacher-75" else 6, "reasons": {},
         "metrics": {"identity_error_synth": 5.0 + place + away[name] + 0.01 * (place % 2)}}
        for place, clip in enumerate(CLIPS) for name in roles
    ]  # fmt: skip
    content = {"schema_version": 1, "protocol": {"seed": seed, "clips": CLIPS, "fingerprint": "abc"}, "environment": {}}
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(
        json.dumps(content | {"systems": systems, "rows": rows, "timing": [], "set_metrics": []})
    )
    return folder


def test_runs_of_several_seeds_are_judged_together(cli, tmp_path) -> None:
    runs = [str(seed_folder(tmp_path / f"run-{place}", away)) for place, away in enumerate((-0.5, -0.51, -0.49))]
    out = tmp_path / "verdict.md"
    outcome = cli("bench", "seeds", *runs, "--out", str(out))
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("fast-6: headroom (teacher-2x3: worse than the teacher)") == 3
    text = out.read_text()
    assert (
        "| fast-6 | identity error-synth, levels ↓ | beats | teacher-2x3 | 1 | +0.50 ± 0.00 | +0.50 ± 0.02 | 4 |"
        in text
    )
    worse = str(seed_folder(tmp_path / "run-3", 0.7))
    assert cli("bench", "seeds", *runs, worse, "--out", str(out)).code == 2
    outcome = cli("bench", "seeds", *runs, worse, "--out", str(out), "--overwrite")
    assert "| undecided |" in out.read_text()
    assert cli("bench", "seeds", runs[0], str(seed_folder(tmp_path / "run-4", 0.0, seed=3))).code == 2


def test_a_recipe_needs_no_verb(cli, calls) -> None:
    assert cli("bench", "recipes/tiny/demo.yaml").code == 0
    assert cli("bench", "run", "recipes/tiny/demo.yaml").code == 0
    assert [name for name, _ in calls] == ["bench", "bench"]


@pytest.mark.parametrize(
    ("before", "after", "labels"),
    [
        ("runs/a", "runs/b", ("a", "b")),
        ("x/report/results.json", "y/report", ("x", "y")),
        ("one/run", "two/run", ("one/run", "two/run")),
    ],
)
def test_labels_are_the_shortest_that_tell_runs_apart(before: str, after: str, labels: tuple[str, str]) -> None:
    assert _labels(Path("/top") / before, Path("/top") / after) == labels
