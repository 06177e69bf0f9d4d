"""``fada data``: raw videos to clips, clips to shards, and what is in them. One file per verb."""

from __future__ import annotations

import typer

from fada.cli.data import cut, encode, index, inspect, prepare, sample, shard, split
from fada.cli.data import filter as filtering

app = typer.Typer(help="Prepare, filter, pack and look at training data.", no_args_is_help=True)
app.command("cut")(cut.cut)
app.command("prepare")(prepare.prepare)
app.command("filter")(filtering.filter_clips)
app.command("split")(split.split)
app.command("shard")(shard.shard)
app.command("encode")(encode.encode)
app.command("index")(index.index)
app.command("inspect")(inspect.inspect)
app.command("sample")(sample.sample)
