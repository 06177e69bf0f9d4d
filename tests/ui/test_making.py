"""The queue: one at a time, in order, and cancelled at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fada.ui.making import MOST_OF_A_VISIT, MOST_WAITING, Asked, Cancelled, Job, Maker, Take, TooMany


class Hand:
    """Makes a take when it is let, a step at a time."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.may_go = threading.Event()
        self.is_at_work = threading.Event()

    def __call__(self, job: Job, take: Take) -> None:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            self.begun.append(take.asked.model)
            take.state = "making"
            self.is_at_work.set()
            if take.asked.model == "broken":
                raise ZeroDivisionError("/secret/place/model: nothing")
            if take.asked.model == "unfit":
                raise ValueError("/secret/place/model: no scale of that name")
            while not self.may_go.wait(0.01):
                take.on_step(1, 4)
            take.on_step(4, 4)
            take.video.write_bytes(b"video")
        finally:
            self.at_once -= 1


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def maker(hand: Hand) -> Iterator[Maker]:
    made = Maker(hand)
    yield made
    made.close()
    assert not made._thread.is_alive()


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    count = iter(range(1000))

    def new(*models: str, visit: str = "me") -> Job:
        takes = [Take(Asked(model), tmp_path / f"take-{next(count)}") for model in models]
        return Job(visit, tmp_path / "p", tmp_path / "s", takes)

    return new


def ended(job: Job) -> list[str]:
    """The states of a job's takes when the last has ended."""
    for _ in range(1000):
        if job.has_ended:
            return [take.state for take in job.takes]
        threading.Event().wait(0.01)
    raise AssertionError(f"never ended: {job.takes}")


def test_one_at_a_time_in_the_order_of_asking(maker: Maker, hand: Hand, job: Callable[..., Job]) -> None:
    jobs = [job("one", "two"), job("three", visit="other"), job("four", visit="third")]
    for each in jobs:
        maker.add(each)
    hand.is_at_work.wait(5)
    assert [maker.place(each) for each in jobs] == [0, 1, 2]
    assert jobs[1].takes[0].state == "waiting"
    hand.may_go.set()
    assert [ended(each) for each in jobs] == [["done", "done"], ["done"], ["done"]]
    assert hand.begun == ["one", "two", "three", "four"]
    assert hand.most_at_once == 1


def test_cancelling_stops_the_step_that_runs_and_what_waits_is_never_begun(
    maker: Maker, hand: Hand, job: Callable[..., Job]
) -> None:
    first, second = job("one", "two"), job("three")
    maker.add(first)
    maker.add(second)
    hand.is_at_work.wait(5)
    maker.cancel(second)
    assert second.takes[0].state == "cancelled"
    maker.cancel(first)
    assert ended(first) == ["cancelled", "cancelled"]
    assert hand.begun == ["one"]
    hand.may_go.set()
    after = job("four")
    maker.add(after)
    assert ended(after) == ["done"]


def test_a_fault_ends_its_take_and_not_the_queue(
    maker: Maker, hand: Hand, job: Callable[..., Job], caplog: pytest.LogCaptureFixture
) -> None:
    hand.may_go.set()
    broken, unfit, sound = job("broken"), job("unfit"), job("sound")
    maker.add(broken)
    assert ended(broken) == ["failed"]
    maker.add(unfit)
    assert ended(unfit) == ["failed"]
    maker.add(sound)
    assert ended(sound) == ["done"]
    assert broken.takes[0].message == "ZeroDivisionError: model: nothing"
    assert unfit.takes[0].message == "model: no scale of that name"
    assert [record.message for record in caplog.records] == ["making a video failed"]


def test_nobody_sees_the_job_of_another_page(maker: Maker, job: Callable[..., Job]) -> None:
    mine = job("one")
    maker.add(mine)
    assert maker.get("me", mine.name) is mine
    assert maker.get("other", mine.name) is None
    assert maker.get("me", "nothing") is None


def test_a_page_and_all_pages_have_so_many_jobs(maker: Maker, job: Callable[..., Job]) -> None:
    for _ in range(MOST_OF_A_VISIT):
        maker.add(job("one"))
    with pytest.raises(TooMany, match="this page has a video in the making and one waiting"):
        maker.add(job("one"))
    for number in range(MOST_WAITING - MOST_OF_A_VISIT):
        maker.add(job("one", visit=str(number)))
    with pytest.raises(TooMany, match="8 videos wait already"):
        maker.add(job("one", visit="late"))


def test_a_page_that_leaves_takes_its_jobs_along(maker: Maker, hand: Hand, job: Callable[..., Job]) -> None:
    mine, other = job("one"), job("two", visit="other")
    maker.add(mine)
    maker.add(other)
    hand.is_at_work.wait(5)
    maker.leave("me")
    assert mine.takes[0].state == "cancelled"
    assert maker.get("me", mine.name) is None
    hand.may_go.set()
    assert ended(other) == ["done"]


def test_old_videos_go_when_new_ones_come(
    maker: Maker, hand: Hand, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fada.ui.making.MOST_KEPT", 2)
    hand.may_go.set()
    jobs = [job("one") for _ in range(4)]
    for each in jobs:
        maker.add(each)
        ended(each)
    assert [each.takes[0].video.is_file() for each in jobs] == [False, False, True, True]
    assert maker.get("me", jobs[0].name) is None


def test_a_cancelled_take_says_so_at_its_next_step(tmp_path: Path) -> None:
    take = Take(Asked("m"), tmp_path)
    take.on_step(1, 3)
    take.cancel.set()
    with pytest.raises(Cancelled):
        take.on_step(2, 3)
    assert take.to_json()["steps"] == (1, 3)
