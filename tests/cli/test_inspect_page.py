"""``fada data inspect DIR --page``."""

from __future__ import annotations

import json
from pathlib import Path

from fada.data.scores import SCORES, write_scores


def test_data_inspect_writes_a_page_of_scored_clips(cli, tmp_path: Path) -> None:
    row = {"key": "a", "identity": "Ann", "split": "train", "source": "a.mov", "set": None}
    write_scores(
        tmp_path, [{**row, "failed_strict": ["blur"], "failed_lenient": ["blur"], **dict.fromkeys(SCORES, 0.9)}]
    )
    (tmp_path / "strict.yaml").write_text("image:\n  blur: {max: 0.123}\n")
    outcome = cli(
        "data", "inspect", str(tmp_path), "--page", str(tmp_path / "inspect.html"),
        "--strict", str(tmp_path / "strict.yaml"),
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.out.strip() == f"{tmp_path / 'inspect.html'}: 1 clips"
    assert '"blur":{"min":null,"max":0.123,"unmeasured":"pass"}' in (tmp_path / "inspect.html").read_text()


def test_data_inspect_of_clips_without_scores_says_how_to_get_them(cli, tmp_path: Path) -> None:
    outcome = cli("data", "inspect", str(tmp_path), "--page", str(tmp_path / "inspect.html"))
    assert outcome.code == 2
    assert "no scores here; make them with: fada data filter" in outcome.err


def test_data_inspect_of_clips_without_a_page_says_what_to_add(cli, tmp_path: Path) -> None:
    for suffix in (".mp4", ".json"):
        (tmp_path / f"a{suffix}").touch()
    outcome = cli("data", "inspect", str(tmp_path))
    assert outcome.code == 2
    assert "clips, not shards; add --page inspect.html" in " ".join(outcome.err.replace("│", "").split())


def test_of_a_large_set_the_page_shows_a_sample_and_says_so(cli, tmp_path: Path) -> None:
    row = {"identity": "", "split": "train", "source": "", "set": "A", "failed_strict": [], "failed_lenient": []}
    write_scores(tmp_path, ({**row, "key": f"k{number}", **dict.fromkeys(SCORES, 0.5)} for number in range(300)))
    outcome = cli("data", "inspect", str(tmp_path), "--page", str(tmp_path / "inspect.html"), "--most", "7")
    assert outcome.code == 0, outcome.err
    assert outcome.out.strip() == f"{tmp_path / 'inspect.html'}: 7 of 300 clips"
    text = (tmp_path / "inspect.html").read_text()
    assert "These are 7 of 300 clips, drawn evenly" in text
    shown = json.loads(text.partition('id="data">')[2].partition("</script>")[0])["clips"]["key"]
    assert shown == sorted(shown, key=lambda key: int(key[1:]))
    assert len(shown) == 7
