"""``fada data``: raw videos to clips, clips to shards, and what is in them. One file per verb."""

from __future__ import annotations

import typer

from fada.cli.data import inspect, prepare, shard

app = typer.Typer(help="Prepare, filter, pack and look at training data.", no_args_is_help=True)
app.command("prepare")(prepare.prepare)
app.command("shard")(shard.shard)
app.command("inspect")(inspect.inspect)
