"""Visits end with their folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from fada.ui import visits as visits_module
from fada.ui.visits import IDLE_SECONDS, NoVisit, TooManyVisits, Visit, Visits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_visit_ends_with_its_folder_and_what_it_asked_for(tmp_path: Path) -> None:
    ended: list[str] = []

    def end(visit: Visit) -> None:
        assert visit.folder.is_dir()
        ended.append(visit.name)

    visits = Visits(tmp_path, end)
    one, other = visits.open(), visits.open()
    one.new_file("portrait").write_bytes(b"x")
    visits.end(one.name)
    visits.end(one.name)
    assert ended == [one.name]
    assert list(tmp_path.iterdir()) == [other.folder]
    with pytest.raises(NoVisit, match="has ended; reload the page"):
        visits.get(one.name)
    visits.end_all()
    assert list(tmp_path.iterdir()) == []


def test_only_a_silent_page_is_given_up(tmp_path: Path) -> None:
    clock = Clock()
    visits = Visits(tmp_path, clock=clock)
    silent, speaking = visits.open(), visits.open()
    clock.now = IDLE_SECONDS - 1
    visits.get(speaking.name)
    clock.now = IDLE_SECONDS + 1
    visits.end_idle()
    assert list(tmp_path.iterdir()) == [speaking.folder]
    with pytest.raises(NoVisit):
        visits.get(silent.name)


def test_names_cannot_be_guessed_and_folders_are_the_users_alone(tmp_path: Path) -> None:
    visits = Visits(tmp_path)
    one, other = visits.open(), visits.open()
    assert one.name != other.name
    assert len(one.name) >= 32
    assert one.folder.stat().st_mode & 0o777 == 0o700
    assert one.new_file("speech") != one.new_file("speech")


def test_so_many_pages_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits_module, "MOST", 2)
    visits = Visits(tmp_path)
    first = visits.open()
    visits.open()
    with pytest.raises(TooManyVisits, match="2 pages are open; close one"):
        visits.open()
    visits.end(first.name)
    visits.open()
