"""What the page of scored clips holds, and what its scripts make of it."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fada.data.inspection import write_page
from fada.data.scores import SCORES, load_thresholds

NODE = shutil.which("node")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_node = pytest.mark.skipif(NODE is None, reason="no Node here to run the page's scripts")


class Reader(HTMLParser):
    """What a page refers to, its ids, its embedded JSON, and tags left open."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text: dict[str, str] = {}
        self.open: list[tuple[str, str]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.links += [str(found[name]) for name in ("src", "href", "poster") if name in found]
        self.ids += [str(found["id"])] if "id" in found else []
        if tag not in ("meta", "input"):
            self.open.append((tag, str(found.get("id"))))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1][1]] = self.text.get(self.open[-1][1], "") + data


@pytest.fixture(scope="module")
def read(page: Path) -> Reader:
    return Reader(page)


@pytest.fixture(scope="module")
def data(read: Reader) -> dict[str, Any]:
    return json.loads(read.text["data"])


def test_the_page_is_well_formed_with_unique_ids(read: Reader) -> None:
    assert read.open == []
    assert len(set(read.ids)) == len(read.ids)


def test_the_page_loads_nothing_from_outside(page: Path, read: Reader) -> None:
    assert read.links == ["#clips"]
    text = page.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text


def test_texts_of_clips_cannot_become_html(page: Path, data: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    assert data["clips"]["source"] == [row["source"] for row in rows]
    assert "<img" not in page.read_text(encoding="utf-8")


def test_the_page_holds_every_score_and_limit(data: dict[str, Any]) -> None:
    assert [score["name"] for score in data["scores"]] == list(SCORES)
    assert data["values"]["blur"] == [0.1, 0.39, 0.5, 0.88, 0.2, 0.15]
    assert data["values"]["offset"][4] is None
    assert data["limits"]["strict"]["offset"] == {"min": -1, "max": 1, "unmeasured": "fail"}
    assert data["limits"]["lenient"] == {"blur": {"min": None, "max": 0.6, "unmeasured": "pass"}}


def test_videos_are_linked_from_where_the_page_lies(page: Path, data: dict[str, Any]) -> None:
    assert data["videos"] == "../my%20clips/"
    assert (page.parent / "../my clips" / "clean.mp4").is_file()


def test_a_page_among_its_clips_links_them_by_name(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    written = write_page(tmp_path, rows, {}, tmp_path / "inspect.html")
    assert json.loads(Reader(written).text["data"])["videos"] == ""


def test_posters_are_small_pictures_where_there_is_a_video(read: Reader) -> None:
    posters = json.loads(read.text["posters"])
    with Image.open(io.BytesIO(base64.b64decode(posters[0]))) as picture:
        assert (picture.format, picture.size, picture.getpixel((20, 20))) == ("JPEG", (64, 64), (200, 200, 200))
    assert posters[1:] == [None] * 5


def test_values_that_are_not_numbers_count_as_not_measured(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    odd = [{**rows[0], "blur": float("nan"), "yaw": float("inf")}]
    values = json.loads(Reader(write_page(tmp_path, odd, {}, tmp_path / "p.html")).text["data"])["values"]
    assert (values["blur"], values["yaw"]) == ([None], [None])


def in_browser(page: Path, code: str) -> Any:
    """The value of some code in the page, after its scripts have run."""
    assert NODE is not None
    command = [NODE, str(Path(__file__).with_name("browser.js")), str(page), code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
def test_the_page_puts_clips_into_the_sets_of_the_table(page: Path, rows: list[dict[str, Any]]) -> None:
    cards = in_browser(page, "within('cards', 'clip').map((card) => [card.attributes['aria-label'], card.textContent])")
    shown = {label.removeprefix("Clip "): text for label, text in cards}
    assert {key: text.split(key)[0] for key, text in shown.items()} == {row["key"]: row["set"] or "out" for row in rows}
    assert in_browser(page, "get('counts').textContent").startswith("A 2 (33\u202f%) · B 3 (50\u202f%) · out 1 (17")


@needs_node
def test_moving_a_limit_tells_at_once_what_it_costs(page: Path) -> None:
    code = "move(within('axes', 'strict max of blur')[0], 0.12); [get('counts').textContent, "
    code += "within('axes', 'blur')[0].textContent]"
    counts, blur = in_browser(page, code)
    assert counts.startswith("A 1 (17\u202f%) · B 4 (67\u202f%) · out 1 (17")
    # Of the five above 0.12, "near" and "shapeless" fail nothing else that is strict.
    assert "strict removes 5 (2 alone) · lenient removes 1 (1 alone)" in blur


@needs_node
def test_limits_can_be_added_removed_and_reset(page: Path) -> None:
    code = "within('axes', 'Remove strict max of yaw')[0].click(); const without = get('counts').textContent; "
    code += "within('axes', 'Add lenient max of yaw')[0].click(); const added = get('counts').textContent; "
    code += "const warning = get('warning').textContent; get('reset').click(); "
    code += "[without, added, warning, get('counts').textContent, get('warning').hidden]"
    without, added, warning, reset, is_quiet = in_browser(page, code)
    assert without.startswith("A 3 ")
    assert "out 2 " not in without
    assert added.startswith("A 3 ")
    assert warning.startswith("A must be part of B: by yaw the lenient limits refuse")
    assert (reset.startswith("A 2 "), is_quiet) == (True, True)


@needs_node
def test_the_yaml_is_taken_by_the_filter(page: Path, tmp_path: Path) -> None:
    code = "move(within('axes', 'strict min of offset, as a number')[0], -0.5); get('show-yaml').click(); "
    strict, lenient = in_browser(page, f"{code}[get('yaml-strict').value, get('yaml-lenient').value]")
    (tmp_path / "strict.yaml").write_text(strict)
    limits = load_thresholds(tmp_path / "strict.yaml").by_score
    assert {name: (limit.min, limit.max, limit.unmeasured) for name, limit in limits.items()} == {
        "blur": (None, 0.4, "pass"), "offset": (-0.5, 1.0, "fail"), "yaw": (None, 30.0, "pass"),
    }  # fmt: skip
    assert lenient == "image:\n  blur: {max: 0.6}\n"


KEYS = "within('cards', 'clip').map((card) => card.attributes['aria-label'].slice(5))"


@needs_node
@pytest.mark.parametrize(
    ("choices", "keys"),
    [
        # Out first, then what only strict refuses: 25 and 10 degrees too far, not measured; then the nearest of A.
        ({}, ["shapeless", "turned", "soft", "silent", "near", "clean"]),
        ({"score": "blur"}, ["shapeless", "soft", "near", "silent", "turned", "clean"]),
        ({"score": "blur", "order": "borderline"}, ["near", "soft", "silent", "turned", "shapeless", "clean"]),
        ({"score": "offset", "order": "highest"}, ["soft", "clean", "near", "shapeless", "turned", "silent"]),
        ({"set": "B", "score": "yaw", "order": "lowest"}, ["silent", "soft", "turned"]),
        ({"reason": "axis:movement"}, ["turned", "soft"]),
        ({"reason": "offset"}, ["silent"]),
        ({"split": "test"}, ["clean"]),
        ({"text": "SILENT"}, ["silent"]),
        ({"set": "changed"}, []),
    ],
)
def test_clips_are_chosen_and_ordered(page: Path, choices: dict[str, str], keys: list[str]) -> None:
    code = "".join(f"choose({json.dumps(name)}, {json.dumps(value)}); " for name, value in choices.items())
    assert in_browser(page, code + KEYS) == keys


@needs_node
def test_only_clips_with_a_video_get_a_player_that_waits(page: Path) -> None:
    (video,) = in_browser(page, "within('cards', 'video').map((video) => video.attributes)")
    assert (video["src"], video["preload"]) == ("../my%20clips/clean.mp4", "none")
    assert video["poster"].startswith("data:image/jpeg;base64,")


@needs_node
def test_many_clips_are_shown_page_by_page(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    many = [{**row, "key": f"{row['key']}-{index}"} for index in range(10) for row in rows]
    page = write_page(tmp_path, many, {}, tmp_path / "many.html")
    code = "const next = document.querySelectorAll('.next')[0]; next.click(); next.click(); "
    code += "[document.querySelectorAll('.where')[0].textContent, within('cards', 'clip').length, next.disabled]"
    assert in_browser(page, code) == ["60 clips, page 3 of 3", 12, True]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_real_browser_shows_the_cards(page: Path, tmp_path: Path) -> None:
    assert BROWSER is not None
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=5000",
    ]
    command = [BROWSER, *options, "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert shown.count('class="clip"') == 6
    assert "A 2 (33" in shown
