"""``fada data index``: tables of samples for shards that have none."""

from pathlib import Path

import torch

from fada.data.shards.reading import Sample, read_index, write_shards
from fada.data.shards.shard_set import ShardSet
from fada.data.shards.table import table_name


def test_it_makes_tables_of_a_set_and_of_the_splits_in_a_folder(cli, tmp_path: Path) -> None:
    for split in ("train", "test"):
        made = (Sample(f"{split}-{number}", {}, latents=torch.zeros(2, 1, 2, 2)) for number in range(3))
        write_shards(made, tmp_path / split, 2)
    tables = {split: tmp_path / split / table_name(read_index(tmp_path / split)) for split in ("test", "train")}
    for place, splits in ((tmp_path / "train", ["train"]), (tmp_path, ["test", "train"])):
        for table in tables.values():
            table.unlink(missing_ok=True)
        outcome = cli("data", "index", str(place))
        assert outcome.code == 0, outcome.err
        for split in splits:
            assert f"{tables[split]}: 3 of 3 clips" in outcome.out.replace("\n", "")
            assert ShardSet(tmp_path / split).table.quality_counts() == {"A": 3}


def test_it_names_what_it_leaves_out_and_says_where_there_are_no_shards(cli, tmp_path: Path) -> None:
    write_shards((Sample(f"c{number}", {}, latents=torch.zeros(2, 1, 2, 2)) for number in range(3)), tmp_path / "s", 1)
    shard = tmp_path / "s" / read_index(tmp_path / "s").shards[1].name
    shard.unlink()
    outcome = cli("data", "index", str(tmp_path / "s"))
    assert outcome.code == 0, outcome.err
    assert ": 2 of 3 clips" in outcome.out.replace("\n", "")
    assert f"{shard.name}/*: the shard is missing" in outcome.out.replace("\n", "")
    outcome = cli("data", "index", str(tmp_path / "none"))
    assert outcome.code == 2
    assert "no shards here (no index.json); make them with fada data shard" in outcome.err
