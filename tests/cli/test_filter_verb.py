"""`fada data filter` on a small drawn world."""

from pathlib import Path

from fada.data.scores import read_scores
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
    assert {row["set"] for row in read_scores(world)} <= {"A", "B", None}
    assert "0 clips measured, 4 were" in cli("data", "filter", str(world), "--workers", "1").out


def test_thresholds_that_do_not_exist_are_one_clear_line(cli, tmp_path: Path) -> None:
    failed = cli("data", "filter", str(tmp_path), "--strict", "strikt")
    assert failed.code == 2
    assert "strikt: no such file; did you mean 'strict'?" in failed.err


def test_other_thresholds_are_applied_to_the_table_alone(cli, tmp_path: Path) -> None:
    world = tmp_path / "world"
    make_world(world, clips=3, size=48, frames=32, flawed_share=0.0)
    assert cli("data", "filter", str(world), "--workers", "1").code == 0
    for name in ("strict", "lenient"):
        (tmp_path / f"{name}.yaml").write_text("source:\n  seconds: {min: 100}\n")
    # No clip is looked at: none of their files is needed.
    for file in world.iterdir():
        if file.suffix in (".mp4", ".wav"):
            file.unlink()
    before = {file: file.stat().st_mtime_ns for file in world.rglob("*.json")}
    thresholds = ["--strict", str(tmp_path / "strict.yaml"), "--lenient", str(tmp_path / "lenient.yaml")]
    done = cli("data", "filter", str(world), *thresholds, "--thresholds-only")
    assert done.code == 0, done.err
    assert [row["set"] for row in read_scores(world)] == [None] * 3
    assert [row["failed_strict"] for row in read_scores(world)] == [["seconds"]] * 3
    assert "neither" in done.out
    assert {file: file.stat().st_mtime_ns for file in world.rglob("*.json")} == before
    refused = cli("data", "filter", str(world), "--thresholds-only", "--histograms", str(tmp_path / "h.png"))
    assert refused.code == 2
    assert "--histograms: are drawn of scores that are looked at" in " ".join(refused.err.replace("│", "").split())
