"""``fada data filter``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer


def filter_clips(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of clips (fada data prepare, fada world make).")
    ],
    strict: Annotated[
        str, typer.Option(metavar="YAML", help="Thresholds of set A: a file, or the name of a shipped one.")
    ] = "strict",
    lenient: Annotated[str, typer.Option(metavar="YAML", help="Thresholds of set B, which contains A.")] = "lenient",
    face_landmarker: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            envvar="FADA_FACE_LANDMARKER",
            help="MediaPipe's face_landmarker .task file, for clips without landmarks beside them.",
        ),
    ] = None,
    iqa: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="Measure image quality by this metric of pyiqa (fada[iqa])."),
    ] = None,
    iqa_weights: Annotated[Path | None, typer.Option(metavar="PATH", help="Local weights of that metric.")] = None,
    syncnet: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="SyncNet's weights (syncnet_v2.model): measure by it too (fada[syncnet])."),
    ] = None,
    dnsmos: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="DNSMOS's network (sig_bak_ovr.onnx, by fada weights get speech): how good the speech sounds "
            "(fada[metrics]).",
        ),
    ] = None,
    voices: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A speaker embedding (voice_encoder.safetensors, by fada weights get voices): whether one voice "
            "speaks throughout.",
        ),
    ] = None,
    histograms: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Write a histogram of every score here, with its thresholds.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Clips at a time.", show_default="2 processes; on a cluster one per processor"),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ray[=HOST:PORT]",
            help="Work on a Ray cluster: the one at that address, one that runs on this machine, or a new one here. "
            "Clips and models must lie on a disk that all its machines see.",
        ),
    ] = None,
    thresholds_only: Annotated[
        bool,
        typer.Option("--thresholds-only", help="Only decide anew, by the scores in the table; no clip is looked at."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the histograms of an earlier call.")] = False,
) -> None:
    """Score clips on five axes (source, image, sync, background, movement) and make the sets A and B.

    Scores are kept; only clips without any are measured. The decisions go into DIR/scores.parquet, the clips stay as
    they are; `fada data shard` packs what belongs to a set, `fada data inspect DIR` shows it to a person.
    Clips whose flaws are known (a drawn world) are also judged by them: precision, recall, ROC.
    Needs the extra: pip install 'fada[data]'.

    Examples:

      fada data filter data/clips
      fada data filter data/clips --strict my-strict.yaml --histograms scores.png
      fada data filter data/clips --strict my-strict.yaml --thresholds-only
      fada data filter /disk/clips --cluster ray=HOST:6379
      fada data filter data/clips --iqa piqe --syncnet weights/syncnet_v2.model --dnsmos weights/sig_bak_ovr.onnx
      fada data filter data/clips --voices weights/voice_encoder.safetensors
    """
    from fada.cli.progress import progress_bar
    from fada.data.clips.clip import list_clips, read_record
    from fada.data.clips.clip_files import clip_file, clip_folders
    from fada.data.scores import (
        Models,
        filter_folder,
        filter_table,
        load_thresholds,
        plot_scores,
        score_folder,
        tables,
        truth_tables,
    )
    from fada.data.stages import throughput
    from fada.files.locks import locked
    from fada.files.outputs import check_report
    from fada.files.whole import clear_leftovers
    from fada.terminal import SafeConsole

    # A folder that is not there is not made by its lock.
    list_clips(folder)
    if histograms is not None:
        check_report(histograms, folder, overwrite=overwrite)
    if thresholds_only and histograms is not None:
        raise typer.BadParameter("--histograms: are drawn of scores that are looked at; leave --thresholds-only out")
    models = Models(face_landmarker, iqa, iqa_weights, syncnet, dnsmos, voices)
    thresholds = load_thresholds(strict), load_thresholds(lenient)
    console = SafeConsole()
    if thresholds_only:
        with locked(folder, "filtering clips"), progress_bar("deciding") as progress:
            clear_leftovers(folder)
            tally = filter_table(folder, *thresholds, on_progress=progress)
        console.print(*tally.tables(), sep="\n")
        return
    with locked(folder, "filtering clips"):
        for whole in (folder, folder / ".scores"):
            for place in clip_folders(whole) if whole.is_dir() else ():
                clear_leftovers(place)
        with progress_bar("scoring") as progress:
            scored = score_folder(
                folder, models, workers=workers if workers or cluster else 2, cluster=cluster, on_progress=progress
            )
        decisions = filter_folder(folder, scored, *thresholds)
    console.print(f"{scored.measured} clips measured, {scored.kept} were; scores in {folder / 'scores.parquet'}")
    for key, reason in scored.damaged.items():
        console.print(f"unreadable: {key}: {reason}", style="yellow", markup=False)
    for reason, count in _reasons(scored.unmeasured).most_common():
        console.print(f"not measured in {count} clips: {reason}", markup=False)
    console.print(*tables(scored, decisions, *thresholds), sep="\n")
    if scored.measured:
        console.print(throughput(scored.stages, scored.measured))
    metas = {key: read_record(clip_file(folder, key, ".json"))["meta"] for key in decisions}
    flaws = {key: [each["kind"] for each in meta["flaw_details"]] for key, meta in metas.items() if "world" in meta}
    if any(flaws.values()):
        console.print(*truth_tables(scored.scores, flaws, thresholds[0]), sep="\n")
    if histograms is not None:
        plot_scores(histograms, scored.scores, *thresholds)
        console.print(f"histograms: {histograms}")


def _reasons(unmeasured: Mapping[str, Mapping[str, str]]) -> Counter[str]:
    """In how many clips the same scores are missing for the same reason."""
    counts: Counter[str] = Counter()
    for missing in unmeasured.values():
        by_reason: dict[str, list[str]] = {}
        for name, why in missing.items():
            by_reason.setdefault(why, []).append(name)
        counts.update(f"{', '.join(names)} ({why})" for why, names in by_reason.items())
    return counts
