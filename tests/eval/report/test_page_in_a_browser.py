"""The report's page as a reader meets it: opened from a file, on a desk and on a phone, with a keyboard only."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NODE = shutil.which("node")
VIDEOS = "[...document.querySelectorAll('video')]"
FIRST = "[...document.querySelector('.clip').querySelectorAll('video')]"
FOCUS = "document.activeElement.className || document.activeElement.textContent"
TOO_WIDE = """[...document.querySelectorAll('body *')]
    .filter((element) => !element.closest('.scroll *, .plot div *, pre, .skip'))
    .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
    .map((element) => `${element.tagName}.${element.className}`)"""
ROWS = "[...document.querySelectorAll('#table-cost tbody tr')].map((row) => row.cells[0].textContent)"


@pytest.fixture
def page(browser: Any, written: dict[str, Path]) -> Any:
    """The page at a desk's width, with its videos ready to play."""
    browser.open(written["page"], 1300)
    browser.until(f"{VIDEOS}.every((video) => video.readyState >= 3)")
    return browser


def test_it_loads_from_a_file_without_a_complaint(page: Any) -> None:
    assert page.run("location.protocol") == "file:"
    assert page.complaints == []


def test_every_video_can_be_decoded(page: Any) -> None:
    # 24 frames at 25 a second, enlarged from 32 to 256 pixels.
    found = page.run(f"{VIDEOS}.map((video) => [video.duration, video.videoWidth, video.error])")
    assert len(found) == 2 * (1 + 5)
    assert all(size == 256 and error is None for _, size, error in found)
    assert [seconds for seconds, _, _ in found] == pytest.approx([0.96] * 12, abs=0.05)


def test_every_plot_is_shown(page: Any) -> None:
    widths = page.run("[...document.images].map((image) => image.complete && image.naturalWidth)")
    assert len(widths) == 3
    assert min(widths) > 300


@pytest.mark.parametrize("width", [390, 1300])
def test_nothing_is_wider_than_the_window(browser: Any, written: dict[str, Path], width: int) -> None:
    browser.open(written["page"], width)
    assert browser.run("document.documentElement.clientWidth") in (width, width - 15)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(TOO_WIDE) == []


def test_on_a_phone_a_table_keeps_its_first_column_in_sight(browser: Any, written: dict[str, Path]) -> None:
    browser.open(written["page"], 390)
    browser.run("document.querySelector('#table-cost').parentElement.scrollLeft = 300")
    left = browser.run("document.querySelector('#table-cost tbody th').getBoundingClientRect().left")
    assert 0 <= left < 40


def test_the_keyboard_skips_to_the_videos_and_plays_them_together(page: Any) -> None:
    page.press("Tab")
    assert page.run(FOCUS) == "skip"
    page.press("Enter")
    page.press("Tab")
    assert page.run(FOCUS) == "play"
    page.press(" ")
    page.until(f"{FIRST}.every((video) => !video.paused && video.currentTime > 0.1)")
    page.press(" ")
    page.until(f"{FIRST}.every((video) => video.paused && !video.seeking)")
    times = page.run(f"{FIRST}.map((video) => video.currentTime)")
    assert max(times) - min(times) < 0.04
    assert page.complaints == []


def test_arrow_keys_on_the_slider_go_frame_by_frame(page: Any) -> None:
    page.run("document.querySelector('.seek').focus()")
    for _ in range(3):
        page.press("ArrowRight")
    page.until(f"{FIRST}.every((video) => !video.seeking)")
    # The middle of the fourth of 24 frames.
    seconds = page.run(f"{FIRST}.map((video) => video.currentTime / video.duration)")
    assert seconds == pytest.approx([3.5 / 24] * 6, abs=0.005)


def test_space_on_the_slider_plays_and_one_clip_plays_at_a_time(page: Any) -> None:
    page.run("document.querySelector('.seek').focus()")
    page.press(" ")
    page.until(f"!{FIRST}[0].paused")
    page.run("document.querySelectorAll('.seek')[1].focus()")
    page.press(" ")
    playing = f"{VIDEOS}.map((video) => !video.paused)"
    page.until(f"JSON.stringify({playing}) === JSON.stringify([...Array(12).keys()].map((place) => place > 5))")


def test_a_table_is_sorted_from_the_keyboard_and_says_so(page: Any) -> None:
    before = page.run(ROWS)
    page.run(
        "[...document.querySelectorAll('#table-cost thead button')].find((b) => b.textContent === 'NFE-D').focus()"
    )
    page.press("Enter")
    assert page.run(ROWS)[-1] == "teacher-75" != before[-1]
    page.press(" ")
    assert page.run(ROWS)[0] == "teacher-75"
    assert page.run("document.activeElement.parentElement.getAttribute('aria-sort')") == "descending"


def test_the_colours_can_be_switched(page: Any) -> None:
    shade = "getComputedStyle(document.body).backgroundColor"
    before = page.run(shade)
    page.run("document.getElementById('theme').focus()")
    page.press("Enter")
    assert page.run(shade) != before


@pytest.mark.skipif(NODE is None, reason="no Node here to read the page's script")
def test_the_script_is_one_that_node_can_read(written: dict[str, Path], tmp_path: Path) -> None:
    assert NODE is not None
    (script,) = re.findall(r"<script>(.*?)</script>", written["page"].read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "page.js").write_text(script, encoding="utf-8")
    done = subprocess.run([NODE, "--check", "page.js"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
