"""Names from outside on a terminal: shown, never obeyed; wherever they are printed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from fada.terminal import SafeConsole, printable

EVIL = "[bold red]x[/bold red]\x1b[2J\x1b]0;title\x07\u202egpj.exe\u200b\x9b31m\r"
SHOWN = "[bold red]x[/bold red]\\x1b[2J\\x1b]0;title\\x07\\u202egpj.exe\\u200b\\x9b31m\\r"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("talk über 日本 café.mp4", "talk über 日本 café.mp4"),
        (EVIL, SHOWN),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\udcff", "\\udcff"),
        ("a\u00a0b", "a\u00a0b"),
        ("", ""),
    ],
)
def test_controls_become_visible_and_letters_stay(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_stay_where_they_may_and_long_texts_lose_their_middle() -> None:
    assert printable("a\nb\r", lines=True) == "a\nb\\r"
    assert printable("x" * 100, 11) == "xxxx...xxxx"
    assert len(printable("x" * 10_000, 200)) == 200


def printed(*renderables: Any, **options: Any) -> str:
    stream = io.StringIO()
    SafeConsole(file=stream, width=200, force_terminal=False).print(*renderables, **options)
    return stream.getvalue()


def test_a_console_obeys_neither_markup_nor_controls() -> None:
    table = Table(EVIL, title=EVIL, box=None)
    table.add_row(EVIL)
    table.add_row(Text(EVIL))
    assert printed(EVIL) == SHOWN + "\n"
    assert printed(Text(EVIL)) == SHOWN + "\n"
    found = printed(table)
    assert found.count("\\x1b[2J") == 4
    assert found.count("[bold red]x[/bold red]") == 4
    assert all(letter.isprintable() or letter == "\n" for letter in found)


def test_a_console_s_own_colours_are_kept() -> None:
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, color_system="standard", width=80)
    console.print(Text(f"a{EVIL[22:26]}", style="red"))
    assert stream.getvalue() == "\x1b[31ma\\x1b[2J\x1b[0m\n"


def test_errors_and_lines_of_a_run_are_safe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fada.cli.failures import report
    from fada.cli.say import say
    from fada.engine.run_log import RunLog

    class OurError(ValueError):
        __module__ = "fada.somewhere"

    assert report(OurError(f"{EVIL}: no such clip")) == 2
    assert report(OurError("x" * 10**6)) == 2
    say(EVIL)
    say(EVIL, err=True)
    stream = io.StringIO()
    log = RunLog(tmp_path, f"fast{EVIL}", SafeConsole(file=stream, width=400))
    log.say(EVIL)
    log.close()
    caught = capsys.readouterr()
    for text in (caught.out, caught.err, stream.getvalue()):
        assert SHOWN in text
        assert all(letter.isprintable() or letter == "\n" for letter in text)
        assert len(text) < 10_000


def test_a_label_of_a_bar_is_no_format(capsys: pytest.CaptureFixture[str]) -> None:
    from fada.cli.progress import progress_bar

    with progress_bar("{task.fields[secret]} [red]" + EVIL) as on_step:
        on_step(1, 2)


def test_pages_escape_names() -> None:
    from fada.data.inspection.page import _json
    from fada.eval.report.table import Cell
    from fada.eval.report.table import Table as ReportTable

    name = '</script><img src=x onerror="alert(1)">|`a`\n'
    assert "</script" not in _json({"key": name})
    table = ReportTable(name, [name], [[Cell(name)]], [name])
    assert "<img" not in table.html('a"><img')
    assert '"><img' not in table.html('a"><img')
    lines = table.markdown().splitlines()
    assert all("\\</script>" in line and line.count(" | ") == 0 for line in (lines[0], lines[2]))


def test_only_the_safe_console_prints(project_root: Path) -> None:
    files = [*(project_root / "fada" / "cli").rglob("*.py")]
    assert files
    unsafe = [
        file.name
        for file in files
        for line in file.read_text().splitlines()
        if ("typer.echo(" in line and file.name not in ("say.py", "app.py", "recipe.py")) or " Console(" in line
    ]
    assert unsafe == []
