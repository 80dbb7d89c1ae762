"""All that differs between Ray 2.6 and today's; nothing else in the package looks at Ray's version.

Its names moved: ``ray.air`` (up to 2.6), ``ray.train`` (2.7), ``ray.tune`` (2.43).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def silence_pkg_resources_warning() -> None:
    """Hide the notice that the first import of Ray <= 2.6 prints.

    It uses ``pkg_resources``, and setuptools 67 to 80 warn of its removal; the user can do nothing about it.
    """
    for category in (UserWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated as an API", category=category)


def is_worker() -> bool:
    """Whether this process is a worker that Ray has started, whose command line is Ray's and not the user's."""
    return Path(sys.argv[0]).name == "default_worker.py" if sys.argv else False


def refused_connections() -> tuple[type[Exception], ...]:
    """Errors by which Ray says that there is no cluster, or since 2.5x that it was given no token or a wrong one."""
    import ray.exceptions

    wrong_token = getattr(ray.exceptions, "AuthenticationError", None)
    return (ConnectionError, *([wrong_token] if wrong_token else []))


def names() -> Any:
    """The module that has RunConfig, FailureConfig, CheckpointConfig and Checkpoint in this Ray."""
    import ray.tune

    if hasattr(ray.tune, "RunConfig") and hasattr(ray.tune, "get_checkpoint"):
        return ray.tune
    import ray.train

    if hasattr(ray.train, "RunConfig") and hasattr(ray.train, "report"):
        return ray.train
    import ray.air

    return ray.air


def data() -> Any:
    """Ray Data.

    Raises:
        NotImplementedError: that of Ray 2.6 does not work with today's pandas and setuptools.
    """
    import ray

    try:
        import ray.data.extensions
    except ImportError as error:
        raise NotImplementedError(
            f"Ray Data of Ray {ray.__version__} does not work with the libraries that are installed ({error}); a newer "
            "Ray does (docs/compatibility.md). Without --address one process does it, with the same result"
        ) from error
    return ray.data


def _session() -> Any:
    api = names()
    return getattr(api, "session", api) if api.__name__ == "ray.air" else api


def report(metrics: Mapping[str, Any], folder: Path | None = None) -> None:
    """Report a trial's metrics, and keep a copy of a folder as its checkpoint."""
    checkpoint = None if folder is None else names().Checkpoint.from_directory(str(folder))
    _session().report(dict(metrics), checkpoint=checkpoint)


@contextmanager
def restored_folder() -> Iterator[Path | None]:
    """The checkpoint from which this trial goes on, as a folder for as long as the context lasts, or None."""
    checkpoint = _session().get_checkpoint()
    if checkpoint is None:
        yield None
        return
    with checkpoint.as_directory() as folder:
        yield Path(folder)


def trial_folder() -> Path:
    """The running trial's own folder."""
    session = _session()
    if hasattr(session, "get_trial_dir"):
        return Path(session.get_trial_dir())
    return Path(session.get_context().get_trial_dir())
