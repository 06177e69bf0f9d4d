"""The studio as a person uses it: a real Chromium, every room, keyboard and telephone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fada.media.audio import read_audio
from fada.media.video import probe, read_video
from tests.chromium import Chromium
from tests.ui.conftest import Studio

pytestmark = pytest.mark.ui
TABS = ("generate", "compare", "runs", "data", "report")
PHONE, DESK = 390, 1280
STATUS = "document.querySelector('#{room}-result .note').textContent"


@pytest.fixture
def page(browser: Chromium, studio: Studio) -> Iterator[Chromium]:
    """The studio's page, newly opened; at the end nothing was wrong in the console."""
    browser.open(studio.address, DESK)
    browser.until("document.querySelectorAll('#generate-model option').length > 0")
    yield browser
    assert browser.complaints == []
    # The visit ends.
    browser.open("about:blank", DESK)


def choose_inputs(page: Chromium, inputs: tuple[Path, Path]) -> None:
    page.choose_files("#portrait", inputs[0])
    page.choose_files("#speech", inputs[1])
    page.until("document.getElementById('portrait-said').textContent.startsWith('64 × 64 pixels')")
    page.until("document.getElementById('speech-said').textContent === '1.2 s of sound'")


def put(page: Chromium, selector: str, value: object) -> None:
    """A value into a field, which hears of it."""
    page.run(
        f"(() => {{ const field = document.querySelector({json.dumps(selector)}); field.value = {json.dumps(value)};"
        "for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {bubbles: true})); })()"
    )


def open_tab(page: Chromium, name: str) -> None:
    page.click(f"#tab-{name}")
    page.until(f"!document.getElementById('{name}').hidden")


def fetched(studio: Studio, page: Chromium, expression: str) -> bytes:
    """What lies at an address that the page names."""
    address = page.run(f"new URL({expression}, location).pathname")
    status, _, data = studio.ask("GET", address)
    assert status == 200
    return data


def test_a_portrait_speaks_while_it_is_made_and_is_downloaded(
    page: Chromium, studio: Studio, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    choose_inputs(page, inputs)
    page.until("document.getElementById('portrait-shown').naturalWidth === 64")
    put(page, "#generate-model select", "shipped:drawn")
    assert page.run("[...document.querySelectorAll('#generate-model [data-name]')].map((each) => each.value)") == [
        "25", "2.5", "6.5"
    ]  # fmt: skip
    put(page, "#generate-model [data-name=steps]", 12)
    page.click("#generate-form button[type=submit]")
    # Frames are there to be seen before the last is made.
    page.until("document.querySelector('#generate-result video')?.buffered.length")
    assert page.run(f"/step \\d+ of 36, frame (12|24) of 30/.test({STATUS.format(room='generate')})")
    assert page.run("document.querySelector('#generate-result video').currentSrc").startswith("blob:")
    page.until(f"{STATUS.format(room='generate')} === '30 frames'")
    page.until("document.querySelector('#generate-result video').duration > 1.1")
    figures = page.run("[...document.querySelectorAll('#generate-result dd')].map((each) => each.textContent)")
    assert figures[1] == "108 (36 for each of 3 clips)"
    (tmp_path / "video.mp4").write_bytes(fetched(studio, page, "document.querySelector('.download').href"))
    assert read_video(tmp_path / "video.mp4", fps=None).shape == (30, 64, 64, 3)
    assert probe(tmp_path / "video.mp4").has_audio
    assert abs(len(read_audio(tmp_path / "video.mp4")) - 19200) <= 2048


def test_what_the_studio_makes_is_what_the_pipeline_makes(
    page: Chromium, studio: Studio, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    import fada
    from fada.media.whole_video import open_whole

    choose_inputs(page, inputs)
    put(page, "#generate-model select", "shipped:drawn")
    for name, value in (("steps", 1), ("audio", 3), ("reference", 1.5)):
        put(page, f"#generate-model [data-name={name}]", value)
    put(page, "#seed", 7)
    put(page, "#seconds", 0.4)
    page.click("#generate-form button[type=submit]")
    page.until(f"{STATUS.format(room='generate')} === '10 frames'")
    (tmp_path / "made.mp4").write_bytes(fetched(studio, page, "document.querySelector('.download').href"))
    made = fada.generate(
        fada.load("shipped:drawn", device="cpu"), inputs[0], read_audio(inputs[1])[:6400], steps=1, seed=7,
        scales={"audio": 3.0, "reference": 1.5},
    )  # fmt: skip
    with open_whole(tmp_path / "expected.mp4", 25.0) as video:
        video.add(made.frames)
    found, expected = (read_video(tmp_path / f"{name}.mp4", fps=None) for name in ("made", "expected"))
    assert (found == expected).all()


def test_a_video_is_cancelled_and_another_made(page: Chromium, inputs: tuple[Path, Path]) -> None:
    choose_inputs(page, inputs)
    put(page, "#generate-model select", "shipped:drawn")
    assert page.run("document.getElementById('generate-cancel').disabled")
    page.click("#generate-form button[type=submit]")
    page.until(f"{STATUS.format(room='generate')}.startsWith('step ')")
    page.click("#generate-cancel")
    page.until(f"{STATUS.format(room='generate')}.startsWith('cancelled')")
    assert page.run("document.getElementById('generate-cancel').disabled")
    put(page, "#generate-model [data-name=steps]", 1)
    put(page, "#seconds", 0.2)
    page.click("#generate-form button[type=submit]")
    page.until(f"{STATUS.format(room='generate')} === '5 frames'")


def test_two_numbers_of_steps_side_by_side_on_one_noise(page: Chromium, inputs: tuple[Path, Path]) -> None:
    choose_inputs(page, inputs)
    put(page, "#seconds", 0.8)
    open_tab(page, "compare")
    assert page.run("document.getElementById('compare-inputs').textContent").startswith("A portrait and 1.2 s of")
    for side, steps in (("left", 1), ("right", 2)):
        put(page, f"#{side}-model select", "shipped:drawn")
        put(page, f"#{side}-model [data-name=steps]", steps)
    page.click("#compare-form button[type=submit]")
    page.until("document.getElementById('noise-said').textContent === 'Both started from the same noise.'")
    told = [page.run(f"document.querySelector('#{side}-result dl').textContent") for side in ("left", "right")]
    assert "Denoiser evaluations6 (3 for each of 2 clips)" in told[0]
    assert "Denoiser evaluations12 (6 for each of 2 clips)" in told[1]
    assert all("s in all, denoising" in each for each in told)
    videos = "[...document.querySelectorAll('#compare video')]"
    page.until(f"{videos}.every((video) => !video.paused && video.currentTime > 0.1)")
    # One that falls behind is brought back.
    page.run(f"{videos}[1].playbackRate = 0.5")
    apart = page.run(
        f"(async () => {{ const found = []; for (let at = 0; at < 20; at++) {{"
        "await new Promise((done) => setTimeout(done, 60));"
        f"const [one, other] = {videos}; found.push(Math.abs(one.currentTime - other.currentTime)); }}"
        "return found.sort((a, b) => a - b)[10]; })()"
    )
    assert apart < 0.1
    page.run(f"{videos}[1].playbackRate = 1")
    page.click("#both-play")
    page.until(f"{videos}.every((video) => video.paused)")
    assert page.run(f"new Set({videos}.map((video) => video.currentTime)).size") == 1
    put(page, "#both-seek", 0.4)
    assert page.run(f"{videos}.map((video) => video.currentTime)") == [0.4, 0.4]


def test_a_recording_of_the_microphone_is_speech(page: Chromium) -> None:
    page.click("#record")
    page.until("document.getElementById('record').getAttribute('aria-pressed') === 'true'")
    time.sleep(1.2)
    page.click("#record")
    page.until("/^[12]\\.\\d s of sound$/.test(document.getElementById('speech-said').textContent)")
    assert page.run("document.getElementById('record').textContent") == "Record with the microphone"


def test_a_run_is_gone_on_with_watched_and_stopped(page: Chromium, shown: Path) -> None:
    from fada.files.locks import holder_of

    run = shown / "runs" / "endless"
    open_tab(page, "runs")
    page.until("document.querySelector('#runs-list button')?.textContent === 'runs/endlessstopped'")
    page.click("#runs-list button")
    page.until("document.getElementById('run-state').textContent === 'stopped'")
    assert page.run("document.getElementById('run-stop').disabled")
    page.click("#run-resume")
    page.until("document.getElementById('run-state').textContent.startsWith('running')")
    assert page.run("document.getElementById('run-resume').disabled")
    row = "[...document.querySelectorAll('#run-parts tbody tr:last-child td')].map((each) => each.textContent)"
    for _ in range(3):
        # Its data, networks and first phases take a while.
        try:
            page.until(f"/^[1-9]\\d* of 1000000$/.test({row}[1])")
            break
        except AssertionError:
            continue
    assert page.run(f"{row}[0]") == "fast"
    assert page.run(f"/ (h|min)/.test({row}[2])")
    put(page, "#run-part", "fast")
    page.until(
        "document.querySelector('#run-curve svg')?.getAttribute('aria-label').startsWith('loss over steps 1 to')"
    )
    page.until("document.querySelectorAll('#run-histograms svg').length === 2")
    titles = page.run("[...document.querySelectorAll('#run-histograms h3')].map((each) => each.textContent)")
    assert titles == ["Ratio, log10", "Weight of the ground truth"]
    before = page.run(f"parseInt({row}[1])")
    page.until(f"parseInt({row}[1]) > {before}")
    page.until("document.getElementById('run-preview').naturalWidth > 0")
    page.run("document.querySelector('#run-console').open = true")
    page.click("#run-stop")
    page.until("document.getElementById('run-state').textContent.startsWith('stopped')")
    assert "stopped at step" in page.run("document.getElementById('run-said').textContent")
    assert page.run("document.getElementById('run-state').textContent") == "stopped; models: teacher, balanced"
    assert holder_of(run) is None
    assert list(run.glob("work/fast/checkpoints/step-*"))
    # Its models are there to generate with.
    open_tab(page, "generate")
    page.until(
        "[...document.querySelectorAll('#generate-model option')].some((each) => each.textContent === "
        "'runs/endless: students/balanced (6 steps)')"
    )


def test_scored_clips_are_looked_at(page: Chromium) -> None:
    open_tab(page, "data")
    page.until("document.querySelector('#data-folder option')?.textContent === 'talks'")
    page.click("#data-form button")
    page.until("document.getElementById('data-said').textContent === '3 clips'")
    inner = "document.getElementById('data-page').contentDocument"
    page.until(f"{inner}?.querySelectorAll('#cards .clip').length === 3")
    assert page.run(f"{inner}.getElementById('counts').textContent.endsWith('of 3 clips')")
    page.run(f"{inner}.querySelector('#cards video').load()")
    page.run(
        f"(() => {{ const video = {inner}.querySelector('#cards video'); video.muted = true; return video.play(); }})()"
    )
    page.until(f"{inner}.querySelector('#cards video').currentTime > 0.1")
    # What a clip's table says is text.
    assert page.run(f"{inner}.querySelectorAll('#cards b b').length") == 0


def test_a_report_is_read_in_a_frame_that_reaches_nothing(page: Chromium, shown: Path) -> None:
    report = shown / "runs" / "full" / "report" / "index.html"
    text = report.read_text(encoding="utf-8")
    spy = (
        "<script>let found = []; try { found.push(parent.document.title); } catch (error) { found.push('apart'); }"
        "try { found.push(document.cookie); } catch (error) { found.push('no cookies'); }"
        "parent.postMessage(found.join(), '*');</script></body>"
    )
    report.write_text(text.replace("</body>", spy), encoding="utf-8")
    try:
        page.run("addEventListener('message', (event) => { window.told = event.data; window.from = event.origin; })")
        open_tab(page, "report")
        page.until("document.querySelector('#report-folder option')?.textContent === 'runs/full/report'")
        page.click("#report-form button")
        page.until("window.told")
        assert page.run("[window.told, window.from]") == ["apart,no cookies", "null"]
        assert page.run("document.getElementById('report-page').contentDocument") is None
    finally:
        report.write_text(text, encoding="utf-8")


def test_an_upload_that_is_no_picture_is_refused_in_words(page: Chromium, inputs: tuple[Path, Path]) -> None:
    page.choose_files("#portrait", inputs[1])
    page.until("!document.getElementById('fault').hidden")
    assert page.run("document.getElementById('fault').textContent").startswith("portrait: is not a picture")
    assert page.run("document.getElementById('fault').getAttribute('role')") == "alert"
    # The refusal itself, which browsers note.
    assert all("400" in each for each in page.complaints)
    page.complaints.clear()
    page.choose_files("#portrait", inputs[0])
    page.until("document.getElementById('fault').hidden && !document.getElementById('portrait-shown').hidden")


def test_without_inputs_it_says_what_to_choose(page: Chromium) -> None:
    page.click("#generate-form button[type=submit]")
    page.until("!document.getElementById('fault').hidden")
    assert page.run("document.getElementById('fault').textContent") == "choose a portrait and a sound first"
    page.complaints.clear()


def test_all_of_it_by_keyboard(page: Chromium, inputs: tuple[Path, Path]) -> None:
    focus = "document.activeElement.id || document.activeElement.dataset.name || document.activeElement.textContent"
    page.press("Tab")
    assert page.run(focus) == "tab-generate"
    for key, name in (
        ("ArrowRight", "compare"),
        ("End", "report"),
        ("ArrowRight", "generate"),
        ("ArrowLeft", "report"),
        ("Home", "generate"),
    ):
        page.press(key)
        assert page.run(focus) == f"tab-{name}"
        assert (
            page.run("[...document.querySelectorAll('[role=tabpanel]')].filter((each) => !each.hidden)[0].id") == name
        )
        assert (
            page.run("document.querySelectorAll('[role=tab][tabindex=\"0\"], [role=tab]:not([tabindex])').length") == 1
        )
    choose_inputs(page, inputs)
    reached = []
    for _ in range(30):
        page.press("Tab")
        reached.append(page.run(focus))
        # The controls of a player are the browser's own.
        assert page.run("document.activeElement.controls || getComputedStyle(document.activeElement).outlineStyle") != (
            "none"
        ), reached
        if reached[-1] == "steps":
            page.run("document.activeElement.select()")
            page.type("1")
        if reached[-1] == "seconds":
            page.type("0.2")
        if reached[-1] == "Generate":
            break
    wanted = ["portrait", "speech", "record", "steps", "reference", "audio", "seed", "seconds", "Generate"]
    assert [each for each in reached if each in wanted] == wanted
    page.press("Enter")
    page.until(f"{STATUS.format(room='generate')} === '5 frames'")


@pytest.mark.parametrize("name", TABS)
def test_on_a_telephone_nothing_is_wider_than_it(browser: Chromium, studio: Studio, shown: Path, name: str) -> None:
    browser.open(f"{studio.address}?{name}#{name}", PHONE)
    browser.until(f"!document.getElementById('{name}').hidden")
    offered = ("#generate-model option", "#runs-list li", "#data-folder option", "#report-folder option")
    browser.until(f"document.querySelectorAll('{', '.join(offered)}').length")
    if name == "runs":
        browser.click("#runs-list button")
        browser.until("!document.getElementById('run-shown').hidden")
    if name in ("data", "report"):
        browser.click(f"#{name}-form button")
        browser.until(f"!document.getElementById('{name}-page').hidden")
    assert browser.run("document.documentElement.scrollWidth") <= PHONE
    shown_of = "(wanted) => [...document.querySelectorAll(wanted)].filter((each) => each.checkVisibility())"
    start_of = ".map((each) => each.outerHTML.slice(0, 80))"
    beyond = browser.run(
        f"({shown_of})('header *, main *').filter((each) => each.getBoundingClientRect().right > {PHONE} && "
        f"!each.closest('.scroll')){start_of}"
    )
    assert beyond == []
    small = browser.run(
        f"({shown_of})('button:not(.link), select, input:not([type=checkbox]):not([type=range])')"
        f".filter((each) => each.getBoundingClientRect().height < 36){start_of}"
    )
    assert small == []
    assert browser.complaints == []
    browser.open("about:blank", DESK)


def test_every_field_has_a_name(page: Chromium) -> None:
    for name in TABS:
        open_tab(page, name)
        nameless = page.run(
            "[...document.querySelectorAll('input, select, video, audio, iframe, progress, [role=group]')]"
            ".filter((each) => each.checkVisibility() && !(each.labels?.length || each.ariaLabel || each.title))"
            ".map((each) => each.outerHTML.slice(0, 90))"
        )
        assert nameless == [], name


def test_nothing_is_asked_of_another_host(page: Chromium, studio: Studio, inputs: tuple[Path, Path]) -> None:
    choose_inputs(page, inputs)
    for name in TABS:
        open_tab(page, name)
    asked: list[str] = page.run("performance.getEntriesByType('resource').map((each) => each.name)")
    assert len(asked) > 10
    assert [each for each in asked if not each.startswith((studio.address, f"blob:{studio.address}"))] == []


def test_a_closed_page_leaves_nothing(browser: Chromium, studio: Studio, inputs: tuple[Path, Path]) -> None:
    (top,) = studio.left()
    browser.open(studio.address, DESK)
    browser.until("document.querySelectorAll('#generate-model option').length > 0")
    before = {each.name for each in top.iterdir()}
    choose_inputs(browser, inputs)
    assert any(len(list(each.iterdir())) == 3 for each in top.iterdir() if each.is_dir())
    browser.open("about:blank", DESK)
    end = time.monotonic() + 10
    while any(each.is_dir() for each in top.iterdir()):
        assert time.monotonic() < end, before
        time.sleep(0.05)
