"""A Ray cluster of several nodes on this machine, for tests that lose one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def two_nodes() -> Iterator[tuple[Any, list[Any]]]:
    """A head without processors for tasks, and two nodes of one each; the cluster and these nodes."""
    import ray
    from ray.cluster_utils import Cluster

    from recbole_hetcomp.tune.cluster import importable, set_environment

    set_environment()
    with importable():
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        workers = [made.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False)
    try:
        yield made, workers
    finally:
        ray.shutdown()
        made.shutdown()


def without_driver(workers: list[Any]) -> Any:
    """A node that this process is not attached to, which may be any here: a driver ends with its own."""
    import ray

    sockets = {node["NodeID"]: node["RayletSocketName"] for node in ray.nodes()}
    own = sockets[ray.get_runtime_context().get_node_id()]
    return next(worker for worker in workers if worker.raylet_socket_name != own)
