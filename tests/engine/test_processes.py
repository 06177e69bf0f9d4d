"""Training in real processes: every way of dividing it gives what one process gives, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from fada.engine.checkpoint_state import read_checkpoint
from fada.engine.checkpoints import checkpoint_fault

STRATEGIES = ["ddp", "zero1", "zero2", "zero3"]


def result(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(str(folder / "result.safetensors"))


def losses(folder: Path) -> dict[int, float]:
    """Loss of every step, which stands there once."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert len({row["step"] for row in rows}) == len(rows)
    return {row["step"]: row["loss"] for row in rows}


def assert_near(left: Path, right: Path, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    """Equal but for rounding, where gradients arrive; elsewhere ZeRO lets weights decay and plain training does not."""
    used = [{name: value for name, value in result(each).items() if "unused" not in name} for each in (left, right)]
    torch.testing.assert_close(*used, rtol=rtol, atol=atol)


class Dying:
    """A slow ZeRO-2 run of two processes that writes a checkpoint after every step."""

    def __init__(self, out: Path, start) -> None:
        self.start = start
        self.checkpoints = out / "zero2" / "checkpoints"
        self.order = {"out": out, "strategies": ["zero2"], "delay": 0.1, "checkpoint_every": 1}

    def begin(self, until: str) -> list[psutil.Process]:
        """Start, and wait until a checkpoint (a pattern), or the beginning of one, is there; the processes."""
        self.launcher = self.start(2, [self.order])
        deadline = time.monotonic() + 120
        while not list(self.checkpoints.glob(until)) and time.monotonic() < deadline:
            assert self.launcher.poll() is None, self.launcher.communicate()[0][-4000:]
            time.sleep(0.002)
        children = psutil.Process(self.launcher.pid).children(recursive=True)
        return [child for child in children if "worker.py" in " ".join(child.cmdline())]

    def end(self) -> int:
        self.launcher.communicate(timeout=120)
        return int(self.launcher.returncode)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, start) -> Dying:
    """Such a run, of which first one process was killed, then both while a checkpoint was being written."""
    run = Dying(tmp_path_factory.mktemp("killed"), start)

    run.begin("step-00000002")[1].kill()
    assert run.end() != 0

    ranks = run.begin(".fada-*.partial")
    for process in [psutil.Process(run.launcher.pid), *ranks]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    run.end()
    folders = list(run.checkpoints.glob("step-*"))
    assert folders
    assert all(checkpoint_fault(folder) is None for folder in folders)
    assert not (run.order["out"] / "zero2" / "result.safetensors").exists()
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, finish, killed: Dying) -> Path:
    """One process: plain, ZeRO alone, accumulating; two: every strategy, in fp32 and bf16, and stopped and resumed.

    Of two processes the last alone is asked to stop: both must agree to do so, and at the same step.
    """
    out = tmp_path_factory.mktemp("trained")
    # DeepSpeed keeps parameters of fewer than 100,000 weights whole: without this, these would never be divided.
    divided = out / "divided.json"
    divided.write_text(json.dumps({"zero_optimization": {"stage3_param_persistence_threshold": 0}}))
    finish(
        1,
        [
            {"out": out / "one", "strategies": ["ddp", "zero2"]},
            {"out": out / "one", "strategies": ["ddp"], "name": "accumulated", "accumulate": 2},
            # Begun by one process, gone on with by two, in another way.
            *({"out": out / "moved", "strategies": ["ddp"], "name": each, "until": 5} for each in STRATEGIES),
        ],
    )
    finish(
        2,
        [
            {"out": out / "two", "strategies": STRATEGIES, "deepspeed": divided},
            {
                "out": out / "two",
                "strategies": ["zero3"],
                "name": "recomputed",
                "recomputes": True,
                "deepspeed": divided,
            },
            {"out": out / "bf16", "strategies": STRATEGIES, "precision": "bf16", "deepspeed": divided},
            {"out": out / "two", "strategies": ["zero2"], "name": "accumulated", "accumulate": 2},
            {"out": out / "parts", "strategies": STRATEGIES, "until": 5, "deepspeed": divided},
            {
                "out": out / "bf16-parts",
                "strategies": STRATEGIES,
                "precision": "bf16",
                "until": 5,
                "deepspeed": divided,
            },
            {"out": out / "moved", "strategies": STRATEGIES, "deepspeed": divided},
            # Begun by two with ZeRO-3, gone on with by one.
            {"out": out / "back", "strategies": ["zero3"], "name": "back", "until": 5, "deepspeed": divided},
            # Everything of a training is made anew for each order; processes of their own go on below, and when killed.
            *(
                {"out": out / name, "strategies": STRATEGIES, "deepspeed": divided, "precision": precision}
                for name, precision in (("parts", "fp32"), ("bf16-parts", "bf16"))
            ),
            {**killed.order, "delay": 0},
        ],
    )
    finish(1, [{"out": out / "back", "strategies": ["zero1"], "name": "back"}])
    return out


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_give_what_one_gives(trained: Path, strategy: str) -> None:
    assert_near(trained / "two" / strategy, trained / "one" / "ddp")


def test_zero_in_one_process_gives_the_same(trained: Path) -> None:
    assert_near(trained / "one" / "zero2", trained / "one" / "ddp")


@pytest.mark.parametrize("place", ["one", "two"])
def test_accumulated_batches_give_the_same(trained: Path, place: str) -> None:
    assert_near(trained / place / "accumulated", trained / "one" / "ddp")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bf16_stays_near(trained: Path, strategy: str) -> None:
    assert_near(trained / "bf16" / strategy, trained / "one" / "ddp", rtol=0.1, atol=0.02)


def test_between_steps_zero3_holds_no_weight_whole(trained: Path) -> None:
    rows = [json.loads(line) for line in (trained / "two" / "zero3" / "log.jsonl").read_text().splitlines()]
    assert [row["held"] for row in rows] == [0] * 8


def test_activations_computed_again_give_the_same_where_weights_are_divided(trained: Path) -> None:
    two = trained / "two"
    assert all(torch.equal(result(two / "recomputed")[name], value) for name, value in result(two / "zero3").items())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("part", "unbroken"), [("parts", "two"), ("bf16-parts", "bf16")])
def test_a_stopped_and_resumed_run_equals_the_unbroken_one_bit_for_bit(
    trained: Path, part: str, unbroken: str, strategy: str
) -> None:
    parts, whole = trained / part / strategy, trained / unbroken / strategy
    assert result(parts).keys() == result(whole).keys()
    assert all(torch.equal(result(parts)[name], value) for name, value in result(whole).items())
    assert losses(parts) == losses(whole)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_goes_on_with_more_processes_and_another_strategy(trained: Path, strategy: str) -> None:
    assert_near(trained / "moved" / strategy, trained / "one" / "ddp")


def test_a_run_goes_on_with_fewer_processes(trained: Path) -> None:
    assert_near(trained / "back" / "back", trained / "one" / "ddp")


def test_checkpoints_of_shards_hold_whole_parameters_without_the_frozen_ones(trained: Path) -> None:
    (newest,) = (trained / "two" / "zero3" / "checkpoints").glob("step-00000008")
    found = {(name, key): value for name, key, value in read_checkpoint(newest)}
    assert {name.partition(".")[0] for name, _ in found} == {"first", "last", "unused"}
    assert found["first.weight", "exp_avg_sq"].shape == (13, 7)
    assert torch.equal(found["first.weight", "average"], result(trained / "two" / "zero3")["first.weight"])


def test_a_run_survives_kills_and_ends_as_if_nothing_had_been(trained: Path, killed: Dying) -> None:
    out = killed.order["out"] / "zero2"
    assert all(torch.equal(result(out)[name], value) for name, value in result(trained / "two" / "zero2").items())
    assert losses(out) == losses(trained / "two" / "zero2")
