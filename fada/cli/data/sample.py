"""``fada data sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fada.cli.options import Overwrite
from fada.cli.say import say


def sample(
    place: Annotated[Path, typer.Argument(metavar="DIR|SHARDS", help="A folder of clips, or of shards.")],
    out: Annotated[Path, typer.Option("--out", metavar="JSON", help="Write the list here.")],
    count: Annotated[int, typer.Option(min=1, help="Clips to draw.")] = 100,
    seed: Annotated[int, typer.Option(help="Another seed, another sample.")] = 0,
    only: Annotated[str | None, typer.Option("--split", metavar="NAME", help="Draw from this split only.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """A fixed random sample of clips, to judge every model on the same ones (the paper: 100 per test set).

    The same clips and seed give the same list, in whatever order the files lie.

    Examples:

      fada data sample data/shards/test --count 100 --seed 0 --out hdtf-100.json
      fada data sample data/clips --split test --out hdtf-100.json
    """
    from fada.data.sampling.samples import draw_sample
    from fada.files.names import check_name
    from fada.files.outputs import check_report
    from fada.files.whole import write_json

    if only is not None:
        check_name(only, "--split")
    check_report(out, place, overwrite=overwrite)
    keys = [key for key, split in _clips(place) if only in (None, split)]
    drawn = {"split": only, **draw_sample(keys, count, seed)}
    write_json(out, drawn)
    say(f"{out}: {count} of {len(keys)} clips, seed {seed}")


def _clips(place: Path) -> list[tuple[str, str | None]]:
    """Key and split of each clip, from a folder of clips or, where it holds none, from shards."""
    from fada.data.clips.clip import list_clips, read_record
    from fada.data.clips.clip_files import clip_file
    from fada.data.shards.reading import read_shards
    from fada.data.shards.shard_set import shard_folders

    keys = list_clips(place) if place.is_dir() else []
    if keys:
        return [(key, read_record(clip_file(place, key, ".json"))["meta"].get("split")) for key in keys]
    samples = (sample for shards in shard_folders(place) for sample in read_shards(shards, parts=()))
    return [(sample.key, sample.meta.get("split")) for sample in samples]
