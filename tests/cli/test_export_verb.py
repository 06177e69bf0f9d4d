"""``fada export`` hands its options on; the work itself is tested with the students."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fada.export import run_export as export
from fada.export.model_card import Origin
from fada.export.run_export import Contents


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `export_run` was called with."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(export, "export_run", lambda run, out, **options: calls.append(options))
    return calls


def test_without_options_the_whole_model_is_exported(cli, exported, tmp_path: Path) -> None:
    outcome = cli("export", str(tmp_path), "--out", "model")
    assert (outcome.code, outcome.out) == (0, "exported to model\n"), outcome.err
    assert exported == [{"student": None, "built": None, "contents": Contents(), "teacher": None,
                         "origin": Origin(), "figures": "", "name": None}]  # fmt: skip


def test_options_reach_the_export(cli, exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fada.export import delta

    told = {"parts": {"vae": {"kind": "taken", "changed": 0, "new": 0, "bytes": 0, "kept": None},
                      "denoising_unet": {"kind": "difference", "changed": 7, "new": 2, "bytes": 5e6, "kept": 0.75}},
            "kept": 0.75, "rank": 8}  # fmt: skip
    monkeypatch.setattr(delta, "read_delta", lambda folder: told)
    outcome = cli("export", str(tmp_path), "--out", "m", "--as", "lora", "--rank", "8", "--dtype", "bf16", "--keep",
                  "0.2", "--teacher", "t", "--license", "mit", "--base-model", "x/y", "--student", "fast")  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert exported == [{"student": "fast", "built": None, "contents": Contents("lora", "bf16", 8, 0.2),
                         "teacher": Path("t"), "origin": Origin("mit", "x/y"), "figures": "",
                         "name": None}]  # fmt: skip
    assert "denoising_unet  difference" in outcome.out
    assert "5.00  0.750" in outcome.out
    assert "kept: share of the difference at rank 8; of all parts 0.750" in outcome.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rank", "8"], "--rank does not go with --as full"),
        (["--as", "delta", "--keep", "0.1"], "--keep does not go with --as delta"),
        (["--as", "delta", "--rank", "3"], "--rank does not go with --as delta"),
        (["--checkpoint", "4"], "--checkpoint needs --student"),
        (["--checkpoint", "last", "--student", "fast"], "give a step or `newest`, got 'last'"),
        (["--as", "half"], "'half' is not one of 'full', 'delta', 'lora'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(cli, exported, options: list[str], message: str) -> None:
    outcome = cli("export", "run", "--out", "model", *options)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.replace("│", " ").split())
    assert exported == []


def test_the_report_s_figures_of_the_last_student_go_into_the_card(cli, exported, tmp_path: Path) -> None:
    from fada.eval.bench.results import BenchResults

    (tmp_path / "students" / "fast").mkdir(parents=True)
    (tmp_path / "students" / "fast" / "model_index.json").write_text("{}")
    systems = [{"name": name, "is_reference": name == "teacher-75"} for name in ("teacher-75", "fast-6")]
    rows = [{"system": each["name"], "clip": clip, "nfe": int(each["name"].split("-")[1]), "reasons": {},
             "metrics": {"psnr_truth": 20.0 + index}}
            for each in systems for index, clip in enumerate("ab")]  # fmt: skip
    protocol = {"clips": {"a": "", "b": ""}, "identities": 2, "resolution": ["16x16"], "seed": 0}
    BenchResults(protocol, {}, systems, rows, []).save(tmp_path / "report" / "results.json")
    outcome = cli("export", str(tmp_path), "--out", "model")
    assert outcome.code == 0, outcome.err
    assert outcome.out == "exported students/fast to model\n"
    assert "| evaluations per clip | 75 | 6 | 2 videos |" in exported[0]["figures"]
    assert "| PSNR, dB (more is better) | 20.50 ± 6.35 | 20.50 ± 6.35 | 2 videos |" in exported[0]["figures"]
