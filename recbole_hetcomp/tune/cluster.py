"""Ray on this machine, private to it, or a cluster that is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import joblib

import recbole_hetcomp
from recbole_hetcomp.extensions import VARIABLE
from recbole_hetcomp.extras import require
from recbole_hetcomp.kept import entry_kept
from recbole_hetcomp.ray_api import refused_connections
from recbole_hetcomp.signals import handlers_kept

require("Sweeps and teachers in parallel", "ray", "plotly", "jinja2")

LOOPBACK = "127.0.0.1"
OBJECT_STORE_BYTES = 256 * 2**20  # trajectories are mapped from files, so little goes through Ray's own store

# Ray's switches that are read from the environment.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "2",  # the seconds of a sweep that a killed driver may lose
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",  # Ray 2.4x: such a state takes milliseconds
}


def set_environment() -> None:
    """Set Ray's switches, except those that the user has set."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def ray_cluster(address: str | None = None, dashboard: bool = False) -> Iterator[None]:
    """Connect to a Ray cluster, or start Ray on this machine; a connection that there is already is used.

    A local Ray listens on loopback only, has no dashboard unless asked for, and ends with the context. Usage
    statistics are off.

    Args:
        address: ``auto`` or HOST:PORT of a cluster; None for this machine alone.
        dashboard: whether a local Ray has its dashboard.

    Raises:
        ConnectionError: there is no cluster at the address.
    """
    set_environment()
    import ray

    if ray.is_initialized():
        yield
        return
    if address is not None:
        named = os.environ.get(VARIABLE)
        try:
            with handlers_kept():
                ray.init(
                    address=address,
                    log_to_driver=False,
                    runtime_env={"env_vars": {VARIABLE: named}} if named else None,  # workers there have their own
                )
        except refused_connections() as error:
            raise ConnectionError(
                f"no connection to a Ray cluster at {address}; one of Ray 2.59 or newer also wants its token, in "
                f"RAY_AUTH_TOKEN or ~/.ray/auth_token on every machine (Ray says: {str(error).splitlines()[0][:200]})"
            ) from error
    else:
        with importable(), on_loopback(), handlers_kept():
            ray.init(
                address="local",  # Ray would join whatever cluster runs on this machine
                num_cpus=joblib.cpu_count(),  # those that this process may use: affinity, a container's share
                include_dashboard=dashboard,
                log_to_driver=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _node_ip_address=LOOPBACK,
            )
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def on_loopback() -> Iterator[None]:
    """Keep a Ray that is started meanwhile off the network.

    On Linux Ray takes 127.0.0.1 for "this machine's address" and listens on all of them, unless told, by the switch
    that it has for Windows and macOS, that there will be no cluster.
    """
    from ray._private import ray_constants

    name = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    with entry_kept(os.environ, name), entry_kept(vars(ray_constants), "ENABLE_RAY_CLUSTER"):
        os.environ[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False
        yield


@contextmanager
def importable() -> Iterator[None]:
    """Let workers find this very package, also where it runs from a checkout."""
    before = os.environ.get("PYTHONPATH")
    root = str(Path(recbole_hetcomp.__file__).resolve().parent.parent)
    with entry_kept(os.environ, "PYTHONPATH"):
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *([before] if before else [])])
        yield


def node_resources() -> list[dict[str, float]]:
    """Resources of each node that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
