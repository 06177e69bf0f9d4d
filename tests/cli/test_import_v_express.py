"""The import as a verb; what it reads is tested in tests/teacher/v_express."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fada.assembly import import_v_express as importing
from fada.teacher.released import Row


def test_the_import_prints_its_account(
    cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def stand_in(path: Path, out: Path, **options: Any) -> list[Row]:
        asked.update(options, path=path, out=out)
        return [Row("reference_unet", 684, 859_500_000), Row("denoising_unet", 686, 859_500_000)]

    monkeypatch.setattr(importing, "import_v_express", stand_in)
    outcome = cli("teacher", "import", "v-express", "weights", "--out", str(tmp_path), "--audio-weight", "1.5")
    assert outcome.code == 0
    assert asked["path"] == Path("weights")
    assert asked["weights"] == (0.95, 1.5)
    assert (asked["vae"], asked["audio_encoder"]) == (None, None)
    assert "reference_unet" in outcome.out
    assert "1370" in outcome.out
    assert "1719.0 M" in outcome.out
    assert "no key missing, none left over" in outcome.out


def test_the_import_shows_examples(cli: Callable[..., Any]) -> None:
    outcome = cli("teacher", "import", "v-express", "--help")
    assert outcome.code == 0
    assert "fada teacher import v-express model_ckpts/v-express --out weights/v-express" in outcome.out
    assert "non-commercial research" in outcome.out


def test_the_import_refuses_a_negative_weight(cli: Callable[..., Any]) -> None:
    outcome = cli("teacher", "import", "v-express", "weights", "--out", "folder", "--reference-weight", "-1")
    assert outcome.code == 2
    assert "Invalid value for '--reference-weight'" in outcome.err


def test_the_import_says_what_is_missing(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "denoising_unet.bin").touch()
    outcome = cli("teacher", "import", "v-express", str(tmp_path), "--out", str(tmp_path / "out"))
    assert outcome.code == 2
    assert "no reference_net.bin, audio_projection.bin, v_kps_guider.bin, motion_module.bin" in outcome.err
    assert "it holds denoising_unet.bin" in outcome.err
