import io
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from fada.engine.checkpoints import CheckpointMismatch, Checkpoints
from fada.engine.failures import TrainingFailed
from fada.engine.loop import Interrupted, LoopSettings, fit, learning_rate_factor
from fada.engine.objective import StepLoss
from fada.engine.optimizer import AveragingAdamW
from fada.engine.parallel import ParallelSettings, new_accelerator
from fada.engine.progress import step_bar
from fada.engine.run_log import RunLog
from fada.engine.trained_state import TrainedState


class Line:
    """Learn y = 3 x from batches that follow from the step's number."""

    def __init__(self, stop_at: int | None = None, bad: tuple[int, ...] = ()) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = nn.Linear(1, 1)
        self.stop_at, self.bad = stop_at, bad

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        x = torch.randn(8, 1, generator=torch.Generator().manual_seed(step * 10 + micro))
        error = (model(x) - 3 * x).square().mean()
        if step in self.bad:
            error = error * float("nan")
        return StepLoss(error, {"error": error.detach(), "nothing": float("nan")}, {"x": x.flatten()}, [f"clip-{step}"])


def settings(**changes: object) -> LoopSettings:
    values = {
        "steps": 12,
        "lr": 0.05,
        "warmup": 2,
        "checkpoint_every": 4,
        "log_every": 3,
        "preview_every": 0,
        **changes,
    }
    return LoopSettings(**values)


def run(folder: Path, objective: Line, **changes: object) -> dict[str, torch.Tensor]:
    made = settings(**changes)
    accelerator = new_accelerator(ParallelSettings(precision="fp32", accumulate=made.accumulate), batch=8)
    log = RunLog(folder, "line", Console(quiet=True))
    try:
        return fit(objective, made, accelerator, folder, log)
    finally:
        log.close()


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    run(tmp_path, Line(), steps=60, lr=0.2, schedule="constant")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.2 * lines[0]["loss"]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_stopped_and_resumed_run_equals_the_unbroken_one_bit_for_bit(tmp_path: Path, ema: float) -> None:
    whole = run(tmp_path / "whole", Line(), ema=ema)
    with pytest.raises(Interrupted, match="stopped at step 6 of 12; the same command resumes"):
        run(tmp_path / "parts", Line(stop_at=5), ema=ema)
    assert same(whole, run(tmp_path / "parts", Line(), ema=ema))


def test_a_run_that_died_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", Line())
    with pytest.raises(TrainingFailed):
        run(tmp_path / "parts", Line(bad=(9,)))
    assert Checkpoints(tmp_path / "parts" / "checkpoints", 2).latest().name == "step-00000008"
    assert same(whole, run(tmp_path / "parts", Line()))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    assert same(run(tmp_path, Line()), run(tmp_path, Line(bad=tuple(range(12)))))


def test_the_result_is_the_moving_average(tmp_path: Path) -> None:
    average, last = run(tmp_path / "a", Line(), ema=0.9), run(tmp_path / "b", Line(), ema=0.0)
    assert not same(average, last)
    assert abs(float(average["weight"]) - 3) > abs(float(last["weight"]) - 3)


def test_accumulated_micro_batches_equal_their_mean(tmp_path: Path) -> None:
    made = run(tmp_path, Line(), steps=1, accumulate=2, clip_norm=1e9, ema=0.0)
    by_hand = Line()
    rate = 0.05 * learning_rate_factor(0, settings(steps=1))
    optimizer = torch.optim.AdamW(by_hand.module.parameters(), lr=rate, weight_decay=1e-2)
    (0.5 * (by_hand.loss(by_hand.module, 0, 0).total + by_hand.loss(by_hand.module, 0, 1).total)).backward()
    optimizer.step()
    torch.testing.assert_close(made, {name: p.detach() for name, p in by_hand.module.named_parameters()})


def test_a_loss_that_is_not_finite_stops_the_run_and_is_kept_for_replay(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"line, step 3: the loss is nan for clip-3\. .*--replay .*step-00000003"):
        run(tmp_path, Line(bad=(3,)))
    record = json.loads((tmp_path / "failed" / "step-00000003" / "failure.json").read_text())
    assert (record["step"], record["micro"], record["keys"]) == (3, 0, ["clip-3"])
    assert (tmp_path / "failed" / "step-00000003" / "weights.safetensors").is_file()


def test_within_the_budget_other_samples_are_drawn_and_each_is_noted(tmp_path: Path) -> None:
    made = run(tmp_path, Line(bad=(3, 7)), skip_budget=2)
    assert abs(float(made["weight"]) - 3) < 3
    events = [json.loads(line) for line in (tmp_path / "events-0.jsonl").read_text().splitlines()]
    assert [(event["event"], event["step"], event["keys"]) for event in events] == [
        ("not_finite", 3, ["clip-3"]), ("not_finite", 7, ["clip-7"])
    ]  # fmt: skip


def test_beyond_the_budget_the_run_stops(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="step 7"):
        run(tmp_path, Line(bad=(3, 7)), skip_budget=1)


def test_broken_weights_stop_the_run_whatever_the_budget(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="4 draws of a batch in a row gave no finite loss"):
        run(tmp_path, Line(bad=tuple(range(200))), skip_budget=1000)


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_does_harm(tmp_path: Path) -> None:
    class Steep(Line):
        def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
            made = super().loss(model, step, micro)
            if step == 2:
                made.total = made.total + (0 * model.weight).sqrt().sum()
            return made

    with pytest.raises(TrainingFailed, match="step 2: the gradient norm is nan"):
        run(tmp_path, Steep())


def test_a_spike_is_noted(tmp_path: Path) -> None:
    class Spiky(Line):
        def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
            made = super().loss(model, step, micro)
            made.total = made.total * 0 + (100.0 if step == 60 else 1.0)
            return made

    run(tmp_path, Spiky(), steps=62)
    (event,) = [json.loads(line) for line in (tmp_path / "events-0.jsonl").read_text().splitlines()]
    assert (event["event"], event["step"], event["loss"], event["median"]) == ("spike", 60, 100.0, 1.0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 bytes"), "out of memory.*engine.accumulate"),
        (RuntimeError("[gloo] Connection closed by peer [127.0.0.1]"), "another process of this run has died"),
        (RuntimeError("Timed out waiting 1000ms for recv operation"), "no sign of life for 30 minutes"),
    ],
)
def test_known_failures_say_what_to_do(tmp_path: Path, error: Exception, said: str) -> None:
    class Failing(Line):
        def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
            raise error

    with pytest.raises(TrainingFailed, match=f"step 0: .*{said}"):
        run(tmp_path, Failing())


def test_an_unknown_failure_stays_itself(tmp_path: Path) -> None:
    class Failing(Line):
        def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run(tmp_path, Failing())


def test_a_run_with_another_number_of_samples_per_step_is_refused(tmp_path: Path) -> None:
    run(tmp_path, Line(), facts={"samples_per_step": 8})
    with pytest.raises(CheckpointMismatch, match=r"samples_per_step was 8, is 16.*start anew with output"):
        run(tmp_path, Line(), facts={"samples_per_step": 16})


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    run(tmp_path, Line(), keep_last=2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000008", "step-00000012"]


def test_previews_see_the_result_so_far(tmp_path: Path) -> None:
    seen: dict[int, dict[str, torch.Tensor]] = {}
    log = RunLog(tmp_path, "line", Console(quiet=True))
    made = fit(
        Line(), settings(preview_every=6), new_accelerator(ParallelSettings(precision="fp32"), 8), tmp_path, log,
        lambda step, log, weights: seen.update({step: weights}),
    )  # fmt: skip
    log.close()
    assert sorted(seen) == [6, 12]
    assert same(seen[12], made)
    assert not same(seen[6], made)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.5), (1, 1.0), (100, 0.5), (200, 0.0)])
def test_learning_rate_warms_up_and_follows_a_cosine(step: int, expected: float) -> None:
    assert learning_rate_factor(step, settings(steps=200)) == pytest.approx(expected, abs=1e-3)


class Following(Line):
    """Remembers the averages that it may learn from, as they are in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def follow(self, averages) -> None:
        self.averages = averages

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        self.seen.append(float(self.averages()["weight"]))
        return super().loss(model, step, micro)


def test_an_objective_that_asks_sees_the_moving_average_and_after_a_resume_the_same(tmp_path: Path) -> None:
    whole, first, second = Following(), Following(), Following()
    result = run(tmp_path / "whole", whole, ema=0.9)
    start = Line().module.weight.item()
    assert whole.seen[0] == start
    assert len(set(whole.seen)) == 12
    assert start < whole.seen[-1] < float(result["weight"])
    first.stop_at = 5
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", first, ema=0.9)
    run(tmp_path / "broken", second, ema=0.9)
    assert first.seen + second.seen == whole.seen


def test_without_an_average_the_weights_themselves_are_seen(tmp_path: Path) -> None:
    made = Following()
    result = run(tmp_path, made, ema=0.0)
    assert made.seen[0] == Line().module.weight.item()
    assert float(made.averages()["weight"]) == float(result["weight"])


class Partly(Line):
    """One layer learns, on top of one that is frozen; one learns only in even steps."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        frozen = nn.Linear(1, 1).requires_grad_(False)
        self.module = nn.ModuleDict({"frozen": frozen, "learned": nn.Linear(1, 1), "rare": nn.Linear(1, 1)})

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        x = torch.randn(8, 1, generator=torch.Generator().manual_seed(step))
        made = model["learned"](model["frozen"](x)) + (model["rare"](x) if step % 2 else 0)
        return StepLoss((made - 3 * x).square().mean())


@pytest.mark.parametrize("stop_at", [0, 5])
def test_parameters_that_not_every_step_reaches_are_resumed_bit_for_bit(tmp_path: Path, stop_at: int) -> None:
    whole, broken = Partly(), Partly()
    expected = run(tmp_path / "whole", whole, ema=0.9)
    broken.stop_at = stop_at
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", broken, ema=0.9)
    assert same(expected, run(tmp_path / "parts", Partly(), ema=0.9))


def test_a_run_with_other_frozen_weights_is_refused(tmp_path: Path) -> None:
    broken = Partly()
    broken.stop_at = 5
    with pytest.raises(Interrupted):
        run(tmp_path, broken)
    with pytest.raises(CheckpointMismatch, match=r"frozen was [0-9a-f]{64}, is [0-9a-f]{64}\): it would not go on"):
        run(tmp_path, Partly(seed=1))


def test_a_checkpoint_that_notes_no_frozen_weights_is_refused(tmp_path: Path) -> None:
    run(tmp_path, Line())
    for manifest in tmp_path.glob("checkpoints/*/manifest.json"):
        content = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**content, "facts": {}}))
    with pytest.raises(CheckpointMismatch, match="frozen was not noted, is "):
        run(tmp_path, Line())


def scalars(folder: Path) -> list[tuple[int, float]]:
    """Losses as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(folder))
    shown.Reload()
    return [(event.step, event.value) for event in shown.Scalars("train/loss")]


def test_after_a_kill_every_step_stands_once_in_log_events_and_tensorboard(tmp_path: Path) -> None:
    class Killed(Line):
        def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
            if step == 10:
                raise KeyboardInterrupt
            return super().loss(model, step, micro)

    options = {"log_every": 1, "skip_budget": 9}
    run(tmp_path / "whole", Line(bad=(3, 9)), **options)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", Killed(bad=(3, 9)), **options)
    # Half a line, as a power cut leaves it.
    with (tmp_path / "parts" / "log.jsonl").open("a") as file:
        file.write('{"step": 11, "lo')
    run(tmp_path / "parts", Line(bad=(3, 9)), **options)
    logs = [[json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
            for name in ("whole", "parts")]  # fmt: skip
    assert [line["step"] for line in logs[1]] == list(range(1, 13))
    assert [line["loss"] for line in logs[0]] == [line["loss"] for line in logs[1]]
    assert [step for step, _ in scalars(tmp_path / "parts")] == list(range(1, 13))
    assert scalars(tmp_path / "parts") == scalars(tmp_path / "whole")
    events = [(tmp_path / name / "events-0.jsonl").read_text() for name in ("whole", "parts")]
    assert events[0] == events[1]


def test_what_was_logged_before_the_first_checkpoint_is_forgotten_too(tmp_path: Path) -> None:
    class Killed(Line):
        def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
            if step == 3:
                raise KeyboardInterrupt
            return super().loss(model, step, micro)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Killed(), log_every=1)
    run(tmp_path, Line(), log_every=1)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == [step for step, _ in scalars(tmp_path)] == list(range(1, 13))


def test_a_process_that_keeps_no_copy_of_the_result_makes_none() -> None:
    module = nn.Linear(2, 1)
    state = TrainedState(module, AveragingAdamW(module.parameters(), 0.1, 0.0, 0.9))
    assert state.result(keeps=False) == {}
    assert same(state.result(), {name: p.detach() for name, p in module.named_parameters()})


class Faulty(Line):
    """Tells of a fault of its data in every step."""

    def loss(self, model: nn.Module, step: int, micro: int) -> StepLoss:
        made = super().loss(model, step, micro)
        return StepLoss(made.total, {"seconds_data": 0.0}, faults=[f"clip-{step} was replaced"])


def test_faults_of_the_data_are_counted_and_named_in_the_events_and_the_first_ones_aloud(tmp_path, caplog) -> None:
    run(tmp_path, Faulty())
    events = [json.loads(line) for line in (tmp_path / "events-0.jsonl").read_text().splitlines()]
    assert [(each["event"], each["step"], each["count"]) for each in events] == [
        ("data_fault", step, step + 1) for step in range(12)
    ]
    assert events[4]["message"] == "clip-4 was replaced"
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"line, step {step}: clip-{step} was replaced (fault {step + 1} of the data)" for step in range(10)]


def test_the_bar_shows_which_share_of_the_time_went_into_data(tmp_path: Path) -> None:
    log = RunLog(tmp_path, "line", Console(quiet=True))
    assert log.latest_data_share is None
    for seconds in (1.0, 3.0):
        losses = [StepLoss(torch.tensor(1.0), {"seconds_data": 0.25}) for _ in range(2)]
        log.collect(losses, 1.0, 1.0, 0.1, seconds)
    log.flush(2)
    log.close()
    # Four micro-batches of a quarter of a second, in four seconds.
    assert log.latest_data_share == pytest.approx(0.25)
    text = io.StringIO()
    with step_bar("line", 4, Console(file=text, width=100)) as on_step:
        on_step(1, 0.5)
        on_step(2, 0.5, 0.25)
    assert "loss 0.5000, data 25.0%" in text.getvalue()
