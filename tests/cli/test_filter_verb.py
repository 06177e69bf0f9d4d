"""`fada data filter` on a small drawn world."""

from pathlib import Path

from fada.data.clip import list_clips, read_record
from fada.data.world import make_world
from fada.media.image import read_image


def test_clips_are_scored_once_decided_and_judged_by_their_known_flaws(cli, tmp_path: Path) -> None:
    world = tmp_path / "world"
    make_world(world, clips=4, size=48, frames=32, flawed_share=0.5, kinds=("blur", "short"))
    first = cli("data", "filter", str(world), "--workers", "1", "--histograms", str(tmp_path / "scores.png"))
    assert first.code == 0, first.err
    assert "4 clips measured, 0 were" in first.out
    assert "known flaws: what strict finds" in first.out
    assert min(read_image(tmp_path / "scores.png").shape[:2]) > 300
    sets = {read_record(world / f"{key}.json")["meta"]["filter"]["set"] for key in list_clips(world)}
    assert sets <= {"A", "B", None}
    assert "0 clips measured, 4 were" in cli("data", "filter", str(world), "--workers", "1").out


def test_thresholds_that_do_not_exist_are_one_clear_line(cli, tmp_path: Path) -> None:
    failed = cli("data", "filter", str(tmp_path), "--strict", "strikt")
    assert failed.code == 2
    assert "strikt: no such file; did you mean 'strict'?" in failed.err
