"""``fada data index``."""

from __future__ import annotations

from typing import Annotated

import typer

from fada.cli.say import say


def index(
    shards: Annotated[
        str, typer.Argument(metavar="SHARDS", help="A folder of shards, or s3://bucket/folder; or one with its splits.")
    ],
) -> None:
    """Make the table of samples of shards that have none: training reads their clips one at a time by it.

    fada data shard writes it by itself; shards of earlier versions lack it. Only headers, records and the shapes of
    features are read (of an object store whole shards). A table that is there is made again; nothing else is changed.

    Examples:

      fada data index data/shards
      fada data index s3://bucket/shards/train
    """
    from fada.data.shards.shard_set import make_table, shard_folders

    for place in shard_folders(shards):
        made = make_table(place)
        say(f"{place / made.name}: {made.samples} of {made.stated} clips")
        for skipped in made.skipped[:20]:
            say(f"  {skipped}")
        if len(made.skipped) > 20:
            say(f"  ... and {len(made.skipped) - 20} more")
