"""A Ray cluster of several nodes on this machine: teachers spread, a node is lost, nothing is lost with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray_nodes import two_nodes, without_driver

from recbole_hetcomp.tune.options import SweepOptions
from recbole_hetcomp.tune.sweep import SweepResult, run_sweep
from recbole_hetcomp.tune.sweep_plan import make_plan


@pytest.fixture
def cluster():
    with two_nodes() as made:
        yield made


def validations(folder: Path) -> int:
    return sum(len(file.read_text().splitlines()) for file in (folder / "trials").glob("*/result.json"))


def table_of(result: SweepResult) -> dict:
    """What a sweep has found, by point."""
    return {str(record.point): (record.status, record.objective, dict(record.valid)) for record in result.records}


@pytest.mark.slow
def test_a_lost_node_changes_nothing(cluster, quick, space_file, tmp_path, log):
    made, workers = cluster
    doomed = without_driver(workers)
    said: list[str] = []

    def sweep(name: str, meanwhile: Callable[[Path], None]) -> SweepResult:
        folder = tmp_path / name
        options = SweepOptions(output=str(folder), space=space_file, scheduler="none", num_samples=4, max_failures=5)
        plan = make_plan("HetComp", "ml-100k", options, settings=quick(epochs=12, store_dir=str(tmp_path / "store")))
        thread = threading.Thread(target=meanwhile, args=(folder,))
        thread.start()
        result = run_sweep(plan, say=said.append)
        thread.join()
        return result

    def lose_a_node(folder: Path) -> None:
        deadline = time.monotonic() + 120
        while validations(folder) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        made.remove_node(doomed, allow_graceful=False)

    disturbed = sweep("disturbed", lose_a_node)
    trained = [line for line in said if ": trained in" in line]
    assert len(trained) == 2
    assert len({line.split("on node ")[1][:8] for line in trained}) == 2, "teachers spread over nodes"
    assert [record.status for record in disturbed.records] == ["finished"] * 4
    said.clear()
    calm = sweep("calm", lambda folder: None)
    assert not [line for line in said if ": trained in" in line]
    assert table_of(calm) == table_of(disturbed)
    assert calm.best is not None
    assert disturbed.best is not None
    assert calm.best.point == disturbed.best.point
    assert calm.best.objective == disturbed.best.objective


@pytest.mark.slow
def test_a_table_that_nodes_read_is_the_same_teacher(cluster, tmp_path, capsys):
    from recbole_hetcomp import cli, ray_api

    try:
        ray_api.data()
    except RuntimeError:
        pytest.skip("this Ray's Data does not work with today's pandas")
    made, _ = cluster
    user, rank = np.divmod(np.arange(943 * 120), 120)
    rows = {"user": user + 1, "item": (user * 7 + rank * 3) % 1682 + 1, "rank": rank + 1}
    pq.write_table(pa.table(rows), tmp_path / "ranks.parquet", row_group_size=20_000)
    contents = []
    for name, more in (("alone", []), ("spread", ["--address", made.address])):
        store = tmp_path / name
        words = ["--name=x", "--dataset=ml-100k", f"--table={tmp_path / 'ranks.parquet'}", "--allow=seen=1"]
        assert cli.main(["import-teacher", *words, f"--store_dir={store}", *more]) == 0
        contents.append({
            file.relative_to(store): file.read_bytes()
            for file in store.rglob("*") if file.is_file() and file.suffix not in (".json", ".lock")
        })  # fmt: skip
        assert "duplicate" not in capsys.readouterr().out
    assert contents[0] == contents[1]
    assert contents[0]
