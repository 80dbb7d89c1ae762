"""What the workers of a Ray cluster recommend is what one process does, to the last byte, also where a node is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray_nodes import two_nodes, without_driver

from recbole_hetcomp import cli, ray_api
from recbole_hetcomp.serving.recommender import Recommender
from recbole_hetcomp.serving.spread import Asked, spread_rows
from recbole_hetcomp.serving.users import UserTable
from recbole_hetcomp.serving.writing import write_recommendations, write_rows

N_USERS, K = 900, 100


def works() -> bool:
    try:
        ray_api.data()
    except NotImplementedError:
        return False
    return True


needs_ray_data = pytest.mark.skipif(not works(), reason="this Ray's Data does not work with today's pandas")


def slow_recommender(seconds: float, began: Path | None = None) -> Callable[[], Recommender]:
    """A maker of recommenders of random vectors, a block of 40 users in so many seconds; each leaves a file."""

    def make() -> Recommender:  # Ray's workers do not find this module, so all that they need is in here
        import os
        import time

        import torch

        from recbole_hetcomp.core import Ragged
        from recbole_hetcomp.serving.recommender import Recommender

        if began is not None:
            (began / str(os.getpid())).touch()
        draw = torch.Generator().manual_seed(3)
        users, items = torch.randn(901, 16, generator=draw), torch.randn(401, 16, generator=draw)

        def scores(asked: torch.Tensor) -> torch.Tensor:
            time.sleep(seconds)
            if began is not None:
                with (began / f"{os.getpid()}").open("a") as file:
                    file.write("block\n")
            return users[asked] @ items.T

        seen = Ragged.from_pairs(
            torch.arange(1, 901).repeat_interleave(9), torch.randint(1, 401, (8100,), generator=draw), 901
        )
        names = [["[PAD]", *(f"{kind}{number}" for number in range(1, n + 1))] for kind, n in (("u", 900), ("i", 400))]
        return Recommender(scores, *names, seen, torch.bincount(seen.values, minlength=401), 40 * 401)

    return make


def asked_users() -> list[str]:
    return [f"u{number * 7 % N_USERS + 1}" if number % 50 else f"new{number}" for number in range(N_USERS)]


def alone(folder: Path) -> Path:
    """What one process writes."""
    recommender, file = slow_recommender(0)(), folder / "alone.parquet"
    assert recommender.at_once == 40
    assert write_recommendations(file, recommender.batches(asked_users(), K, deny=["i3"])) == (N_USERS * K, 18)
    return file


@pytest.mark.skipif(works(), reason="Ray Data works here")
def test_a_ray_whose_data_does_not_work_is_said(tmp_path, capsys):
    with pytest.raises(NotImplementedError, match="a newer Ray does"):
        next(spread_rows(slow_recommender(0), Asked(["u1"], K), 40, workers=1))
    words = ["recommend", "--checkpoint=model.pth", f"--to={tmp_path / 'lists.csv'}", "--address=auto"]
    assert cli.main(words) == 2
    assert "a newer Ray does" in capsys.readouterr().err


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    from recbole_hetcomp.tune.cluster import ray_cluster

    with ray_cluster():
        yield


@needs_ray_data
def test_the_file_is_that_of_one_process(cluster, tmp_path):
    place = tmp_path / "users"
    place.mkdir()
    names = asked_users()
    pq.write_table(pa.table({"user": names[:500]}), place / "a.parquet", row_group_size=170)
    pq.write_table(pa.table({"more": range(400), "user": names[500:]}), place / "b.parquet")
    for users in (names, UserTable(place)):
        spread = tmp_path / "spread.parquet"
        rows = spread_rows(slow_recommender(0), Asked(users, K, deny=["i3"]), 40, workers=2)
        assert write_rows(spread, rows) == (N_USERS * K, 18)
        assert spread.read_bytes() == alone(tmp_path).read_bytes()


@needs_ray_data
def test_what_a_worker_refuses_is_said_and_nothing_is_written(cluster, tmp_path):
    place = tmp_path / "users.parquet"
    pq.write_table(pa.table({"user": ["u1", None]}), place)
    with pytest.raises(ValueError, match=r"a worker on .* says: .*users.parquet has 1 rows without a user"):
        write_rows(
            tmp_path / "lists.parquet", spread_rows(slow_recommender(0), Asked(UserTable(place), K), 40, workers=2)
        )
    assert list(tmp_path.iterdir()) == [place]


@needs_ray_data
def test_nobody_has_no_rows(cluster):
    assert list(spread_rows(slow_recommender(0), Asked([], K), 40, workers=2)) == []


@needs_ray_data
def test_the_command_writes_the_same_file(cluster, finished_run, tmp_path, capsys):
    pq.write_table(pa.table({"user": [*range(1, 944), 12345]}), tmp_path / "users.parquet")
    files = []
    for name, more in (("alone", []), ("spread", ["--address=auto"])):
        files.append(tmp_path / f"{name}.parquet")
        words = [f"--checkpoint={finished_run.checkpoint}", f"--to={files[-1]}", "--k=5", "--deny=50"]
        assert cli.main(["recommend", *words, f"--users={tmp_path / 'users.parquet'}", *more]) == 0
        assert "4720 rows; 1 unknown users" in capsys.readouterr().out
    assert files[0].read_bytes() == files[1].read_bytes()
    words = [f"--checkpoint={finished_run.checkpoint}", f"--to={tmp_path / 'x.csv'}", "--address=auto"]
    assert cli.main(["recommend", *words, "--cpus_per_worker=1000"]) == 2
    assert "a worker wants 1000 CPUs" in capsys.readouterr().err


@needs_ray_data
@pytest.mark.slow
def test_a_lost_node_changes_nothing(tmp_path):
    import ray

    ray.shutdown()  # the other tests' one, of one node
    began = tmp_path / "began"
    began.mkdir()

    def blocks() -> list[int]:
        return [len(file.read_text().splitlines()) for file in began.iterdir()]

    with two_nodes() as (made, workers):
        doomed = without_driver(workers)

        def lose_a_node() -> None:
            deadline = time.monotonic() + 120
            while sum(count > 2 for count in blocks()) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            made.remove_node(doomed, allow_graceful=False)

        thread = threading.Thread(target=lose_a_node)
        thread.start()
        rows = spread_rows(slow_recommender(0.8, began), Asked(asked_users(), K, deny=["i3"]), 40, workers=2)
        spread = tmp_path / "spread.parquet"
        assert write_rows(spread, rows) == (N_USERS * K, 18)
        thread.join()
    assert sum(count > 2 for count in blocks()) >= 2, "both nodes have finished a part, of two blocks"
    assert spread.read_bytes() == alone(tmp_path).read_bytes()
