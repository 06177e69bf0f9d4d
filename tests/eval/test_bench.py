from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fada.eval.bench.bench import BenchError, measure_clips, run_bench
from fada.eval.bench.controls import measure_controls
from fada.eval.bench.memory import PeakMemory
from fada.eval.bench.results import BenchResults, ResultsError, fingerprint
from fada.eval.bench.store import Store, enlarge
from fada.eval.bench.summary import clips_worst_first, counted_nfe, differences_from_reference, nfe_per_second
from fada.eval.bench.timing import timing_summary
from fada.eval.report.tables import all_tables
from fada.eval.statistics.set_metrics import latent_set_metrics
from fada.media.video import probe


def counted(systems, calls):
    """The systems, noting each generation in ``calls``."""

    def note(system):
        def generate(clip, seed):
            calls.append((system.name, clip.key))
            return system.generate(clip, seed)

        return replace(system, generate=generate)

    return [note(system) for system in systems]


def test_every_system_and_control_has_a_row_per_clip(results) -> None:
    pairs = [(row["system"], row["clip"]) for row in results.rows]
    assert len(pairs) == len(set(pairs)) == 3 * (5 + 3)


def test_systems_share_the_noise_seed_of_a_clip_and_clips_differ(results) -> None:
    seeds = {row["clip"]: set() for row in results.rows}
    for row in results.rows:
        seeds[row["clip"]].add(row["seed"])
    assert all(len(found) == 1 for found in seeds.values())
    assert len(set.union(*seeds.values())) == 3


def test_the_reference_has_no_distance_to_itself(results) -> None:
    assert set(results.values("teacher-75", "latent_mse_reference").values()) == {None}
    assert all(value > 0 for value in results.values("fast-6", "latent_mse_reference").values())


def test_repeating_the_command_generates_nothing_again(tmp_path, make_clip, make_systems, instruments) -> None:
    calls: list = []
    arguments = {"warmups": 1, "repeats": 2, "instruments": instruments}
    systems, clips = counted(make_systems()[:2], calls), [make_clip(0), make_clip(1)]
    first = run_bench(systems, clips, tmp_path, **arguments)
    made = len(calls)
    again = run_bench(systems, clips, tmp_path, **arguments)
    assert (made, len(calls)) == (2 * 2 + 2 * 1 + 2 * 2, made)
    assert (again.rows, again.timing) == (first.rows, first.timing)


def test_an_interrupted_bench_goes_on_where_it_stopped(tmp_path, make_clip, make_systems) -> None:
    calls: list = []
    systems, clips = counted(make_systems()[:2], calls), [make_clip(0), make_clip(1)]

    def break_off(what: str, done: int, total: int) -> None:
        if what == "clip-1: teacher-6-conditional":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_bench(systems, clips, tmp_path, repeats=0, warmups=0, on_progress=break_off)
    calls.clear()
    run_bench(systems, clips, tmp_path, repeats=0, warmups=0)
    assert calls == [("teacher-6-conditional", "clip-1")]


def without_times(rows):
    """Rows without what differs between two runs of the same thing."""
    measured = {"seconds", "stage_seconds", "peak_memory_bytes", "memory_kind", "first_frame_seconds"}
    return [{key: value for key, value in row.items() if key not in measured} for row in rows]


def test_clips_shared_by_two_processes_give_the_rows_of_one(tmp_path, make_clip, make_systems, instruments) -> None:
    calls: list = []
    systems, clips = counted(make_systems()[:2], calls), [make_clip(index) for index in range(3)]
    one = run_bench(systems, clips, tmp_path / "one", repeats=0, instruments=instruments)
    calls.clear()
    for rank in (1, 0):
        measure_clips(systems, clips, tmp_path / "two", instruments=instruments, rank=rank, processes=2)
        assert {clip for _, clip in calls} == {clips[place].key for place in range(rank, 3, 2)}
        calls.clear()
    two = run_bench(systems, clips, tmp_path / "two", repeats=0, instruments=instruments)
    assert calls == []
    assert without_times(two.rows) == without_times(one.rows)
    assert (two.set_metrics, two.protocol) == (one.set_metrics, one.protocol)


def test_controls_are_measured_once_and_again_when_the_sound_beside_them_changes(
    tmp_path, make_clip, make_systems, instruments, monkeypatch
) -> None:
    measured: list = []

    def note(clip, *rest):
        measured.append(clip.key)
        return measure_controls(clip, *rest)

    monkeypatch.setattr("fada.eval.bench.bench.measure_controls", note)
    for clips in ([0, 1], [0, 1], [0, 2]):
        measure_clips(make_systems()[:1], [make_clip(index) for index in clips], tmp_path, instruments=instruments)
    assert measured == ["clip-0", "clip-1", "clip-0", "clip-2"]


def test_a_rank_that_is_none_is_refused(tmp_path, make_clip, make_systems) -> None:
    with pytest.raises(BenchError, match=r"rank must lie in 0 .. processes - 1, got 2 of 2"):
        measure_clips(make_systems(), [make_clip(0)], tmp_path, rank=2, processes=2)


def test_other_weights_are_generated_again(tmp_path, make_clip, make_systems) -> None:
    calls: list = []
    systems = counted(make_systems()[:2], calls)
    run_bench(systems, [make_clip(0)], tmp_path, repeats=0)
    calls.clear()
    run_bench([systems[0], replace(systems[1], fingerprint="new")], [make_clip(0)], tmp_path, repeats=0)
    assert calls == [("teacher-6-conditional", "clip-0")]


def test_another_reference_makes_every_row_again(tmp_path, make_clip, make_systems) -> None:
    calls: list = []
    systems = counted(make_systems()[:2], calls)
    run_bench(systems, [make_clip(0)], tmp_path, repeats=0)
    calls.clear()
    run_bench([replace(systems[0], fingerprint="new"), systems[1]], [make_clip(0)], tmp_path, repeats=0)
    assert len(calls) == 2


def test_a_damaged_row_is_made_again(tmp_path, make_clip, make_systems) -> None:
    calls: list = []
    systems = counted(make_systems()[:2], calls)
    run_bench(systems, [make_clip(0)], tmp_path, repeats=0)
    calls.clear()
    (tmp_path / "rows/clip-0/teacher-75.json").write_text("{")
    run_bench(systems, [make_clip(0)], tmp_path, repeats=0)
    assert calls == [("teacher-75", "clip-0")]


@pytest.mark.parametrize(
    ("damaged", "damage"), [("fast-6.npy", "cut"), ("fast-6.npy", "flip"), ("fast-6.mp4", "gone"), ("truth.mp4", "cut")]
)
def test_a_row_whose_files_are_not_what_was_written_is_made_again(
    tmp_path, make_clip, make_systems, damaged: str, damage: str
) -> None:
    calls: list = []
    chosen = [system for system in make_systems() if system.name in ("teacher-75", "fast-6")]
    systems, clips = counted(chosen, calls), [make_clip(0)]
    run_bench(systems, clips, tmp_path, repeats=0)
    calls.clear()
    file = tmp_path / "rows" / "clip-0" / damaged
    content = file.read_bytes()
    file.write_bytes(content[:-5] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    if damage == "gone":
        file.unlink()
    run_bench(systems, clips, tmp_path, repeats=0)
    assert calls == ([] if damaged == "truth.mp4" else [("fast-6", "clip-0")])
    assert len(file.read_bytes()) == len(content)


@pytest.mark.parametrize("content", ["[]", "3", "{", "[" * 100_000])
def test_rounds_and_rows_that_are_no_objects_are_made_again(tmp_path, make_clip, make_systems, content: str) -> None:
    calls: list = []
    systems, clips = counted(make_systems()[:2], calls), [make_clip(0)]
    run_bench(systems, clips, tmp_path, warmups=0, repeats=1)
    calls.clear()
    for file in (tmp_path / "timing.json", tmp_path / "rows" / "clip-0" / "teacher-75.json"):
        file.write_text(content)
    run_bench(systems, clips, tmp_path, warmups=0, repeats=1)
    assert calls == [("teacher-75", "clip-0"), ("teacher-75", "clip-0"), ("teacher-6-conditional", "clip-0")]


def test_a_clip_encoded_by_another_vae_is_measured_again_and_stays_the_same_clip(make_clip) -> None:
    clip = make_clip(0)
    other = replace(clip, truth_latents=clip.truth_latents + 1)
    assert clip.content_hash() == other.content_hash()
    assert clip.measured_hash() != other.measured_hash() != replace(other, fps=30.0).measured_hash()


def test_more_timing_rounds_keep_the_earlier_ones(tmp_path, make_clip, make_systems) -> None:
    systems, clips = make_systems()[:2], [make_clip(0)]
    first = run_bench(systems, clips, tmp_path, warmups=0, repeats=1)
    more = run_bench(systems, clips, tmp_path, warmups=0, repeats=3)
    assert more.timing[:2] == first.timing
    assert [row["round"] for row in more.timing] == [0, 0, 1, 1, 2, 2]


def test_rounds_turn_the_order_of_systems(results) -> None:
    first = [row["system"] for row in results.timing if row["round"] == 0]
    second = [row["system"] for row in results.timing if row["round"] == 1]
    assert second == [*first[1:], first[0]]


def test_results_survive_the_file(results) -> None:
    assert BenchResults.load(results.folder / "results.json") == results


def test_results_of_another_schema_are_refused(tmp_path) -> None:
    (tmp_path / "results.json").write_text('{"schema_version": 99}')
    with pytest.raises(ResultsError, match="schema_version must be 1, got 99; run the bench again"):
        BenchResults.load(tmp_path / "results.json")


def test_missing_and_broken_results_are_named(tmp_path) -> None:
    with pytest.raises(ResultsError, match="no such file; run the bench first"):
        BenchResults.load(tmp_path / "results.json")
    (tmp_path / "results.json").write_text("nonsense")
    with pytest.raises(ResultsError, match="is not JSON"):
        BenchResults.load(tmp_path / "results.json")


def test_the_protocol_names_no_path_and_changes_with_the_seed(results, tmp_path, make_clip, make_systems) -> None:
    assert str(results.folder) not in json.dumps(results.protocol | results.environment)
    other = [run_bench(make_systems()[:1], [make_clip(0)], tmp_path, seed=seed, repeats=0) for seed in (1, 2)]
    assert other[0].protocol["fingerprint"] != other[1].protocol["fingerprint"]


def test_fingerprints_ignore_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_stored_videos_have_sound_and_can_be_seen(results) -> None:
    video = probe(Store(results.folder).video_path("clip-0", "fast-6"))
    assert (video.width, video.has_audio) == (256, True)


def test_large_videos_are_not_enlarged() -> None:
    frames = np.zeros((2, 300, 280, 3), np.uint8)
    assert enlarge(frames) is frames


def test_timing_summary_counts_rounds_and_finds_the_speedup(results) -> None:
    summary = timing_summary(results, "fast-6")
    assert summary["runs"] == 3
    assert summary["seconds"]["p50"] <= summary["seconds"]["p90"]
    low, high = summary["denoise_speedup_range"]
    assert 1 < low <= summary["denoise_speedup"] <= high
    assert summary["real_time_factor"] * 25 == pytest.approx(1 / (summary["frames_per_second"] / 25**2), rel=1e-6)


def test_without_rounds_there_is_no_timing(tmp_path, make_clip, make_systems) -> None:
    result = run_bench(make_systems()[:1], [make_clip(0)], tmp_path, repeats=0)
    assert timing_summary(result, "teacher-75") is None


def test_nfe_is_counted_per_clip_and_per_second(results) -> None:
    assert counted_nfe(results, "balanced-18") == [18]
    assert nfe_per_second(results, "balanced-18") == pytest.approx(18 / (24 / 25))


def test_differences_are_paired_with_the_reference(results) -> None:
    differences = differences_from_reference(results, "teacher-2x3", "psnr_truth")
    own, teacher = (results.values(name, "psnr_truth")["clip-0"] for name in ("teacher-2x3", "teacher-75"))
    assert len(differences) == 3
    assert differences[0] == own - teacher
    assert max(differences) < 0


def test_clips_come_worst_first(results) -> None:
    values = results.values("fast-6", "mouth_correlation_synth")
    assert clips_worst_first(results) == sorted(values, key=values.get)


def test_a_clip_without_the_value_counts_as_worst(results) -> None:
    rows = [dict(row, metrics=dict(row["metrics"])) for row in results.rows]
    for row in rows:
        if (row["system"], row["clip"]) == ("fast-6", "clip-2"):
            row["metrics"]["mouth_correlation_synth"] = None
    assert clips_worst_first(replace(results, rows=rows))[0] == "clip-2"


def test_distributions_name_samples_dimensions_and_floor(results) -> None:
    row = next(row for row in results.set_metrics if row["system"] == "fast-6")
    assert (row["metric"], row["samples"], row["videos"], row["dimensions"]) == ("fd_latent_synth", 72, 3, 48)
    assert row["floor_samples"] == [48, 24]


def test_true_latents_are_at_distance_zero_from_themselves(make_clip) -> None:
    clips = [make_clip(0), make_clip(1)]
    rows = latent_set_metrics("truth", [clip.truth_latents for clip in clips], clips)
    assert rows[0]["value"] == pytest.approx(0.0, abs=1e-9)


def test_true_videos_score_the_floor_against_other_clips_and_nothing_against_their_own(make_clip) -> None:
    clips = [make_clip(index) for index in range(5)]
    for row in latent_set_metrics("truth", [clip.truth_latents for clip in clips], clips):
        assert abs(row["floor"]) > 1e-4
        assert row["other_clips"] == pytest.approx(row["floor"], rel=1e-9)
    frechet, _ = latent_set_metrics("noisy", [clip.truth_latents + 0.5 for clip in clips], clips)
    assert frechet["value"] == pytest.approx(48 * 0.25)
    # Half of the clips are nearer to the others by the shift, half are farther: its square is what remains.
    assert frechet["other_clips"] == pytest.approx(frechet["floor"] + 48 * 0.25)


def test_a_distance_without_the_only_wrong_clip_is_zero(make_clip) -> None:
    clips = [make_clip(index) for index in range(4)]
    latents = [clip.truth_latents for clip in clips]
    latents[2] = latents[2] + 1.0
    frechet, _ = latent_set_metrics("one", latents, clips)
    assert [value > 0.01 for value in frechet["without"]] == [True, True, False, True]
    assert frechet["without"][2] == pytest.approx(0.0, abs=1e-9)
    assert latent_set_metrics("few", latents[:3], clips[:3])[0]["without"] is None


def test_rows_that_are_not_timed_have_no_rounds(tmp_path, make_clip, make_systems) -> None:
    systems = [replace(each, is_timed=each.name != "teacher-2x3") for each in make_systems()]
    result = run_bench(systems, [make_clip(0)], tmp_path, repeats=2, warmups=0)
    assert timing_summary(result, "teacher-2x3") is None
    assert {row["system"] for row in result.timing} == {each.name for each in systems} - {"teacher-2x3"}
    note = all_tables(result)["cost"].notes
    assert any("Rows without times were left out of the rounds" in each for each in note)


def test_distributions_without_latents_are_null_with_a_reason(make_clip) -> None:
    rows = latent_set_metrics("pixels", [None], [make_clip(0)])
    assert [row["value"] for row in rows] == [None, None]
    assert "latents are missing" in rows[0]["reason"]


def test_real_clips_have_no_synthetic_distributions(make_clip) -> None:
    clip = make_clip(0, drawn=False)
    assert latent_set_metrics("x", [clip.truth_latents], [clip])[0]["metric"] == "fd_latent"


def test_peak_memory_sees_a_large_array() -> None:
    with PeakMemory() as memory:
        before = memory.bytes
        np.ones(40 * 2**20, np.uint8).sum()
        block = np.ones(60 * 2**20, np.uint8)
        del block
    if before is None or memory.kind == "cuda":
        pytest.skip("this system does not tell a process's resident memory")
    assert memory.bytes >= before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: [replace(s[0], is_reference=False), s[1]], "exactly one must have is_reference=True, got none"),
        (lambda s: [s[0], replace(s[1], is_reference=True)], "got teacher-75, teacher-6-conditional of"),
        (lambda s: [s[0], replace(s[1], name="teacher-75")], "names must be unique, got teacher-75"),
        (lambda s: [s[0], replace(s[1], name="a/b")], "system 'a/b': must be a file name"),
    ],
)
def test_systems_that_cannot_be_compared_are_refused(tmp_path, make_clip, make_systems, change, message) -> None:
    with pytest.raises(BenchError, match=message):
        run_bench(change(make_systems()), [make_clip(0)], tmp_path)


def test_clips_that_cannot_be_told_apart_are_refused(tmp_path, make_clip, make_systems) -> None:
    with pytest.raises(BenchError, match="keys must be unique, got clip-0"):
        run_bench(make_systems(), [make_clip(0), make_clip(0)], tmp_path)
    with pytest.raises(BenchError, match="clips: got none"):
        run_bench(make_systems(), [], tmp_path)


def test_negative_repeats_are_refused(tmp_path, make_clip, make_systems) -> None:
    with pytest.raises(BenchError, match="must not be negative, got 2 and -1"):
        run_bench(make_systems(), [make_clip(0)], tmp_path, repeats=-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": np.zeros((4, 8, 8, 3), np.float32)}, r"frames must be uint8 \(F, H, W, 3\), got float32"),
        ({"frames": np.zeros((1, 8, 8, 3), np.uint8)}, "at least 2 frames, got 1"),
        ({"latents": torch.zeros(3, 1, 2, 2)}, "24 frames but 3 latents"),
        ({"stage_seconds": {"decode": 1.0}}, "must name 'denoise', got decode"),
    ],
)
def test_malformed_output_is_refused(tmp_path, make_clip, make_systems, change, message) -> None:
    system = make_systems()[0]
    broken = replace(system, generate=lambda clip, seed: replace(system.generate(clip, seed), **change))
    with pytest.raises(BenchError, match=f"system teacher-75, clip clip-0: .*{message}"):
        run_bench([broken], [make_clip(0)], tmp_path)
