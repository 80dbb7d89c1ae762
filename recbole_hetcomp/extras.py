"""Packages that an installation may leave out, and the extra that brings each of them."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS = {
    "ray": "tune",
    "optuna": "tune",
    "hyperopt": "tune",
    "plotly": "tune",
    "matplotlib": "report",
    "jinja2": "report",
    "statsmodels": "report",
    "pyarrow": "tables",
    "onnx": "export",
    "onnxruntime": "export",
    "faiss": "export",
    "lightgbm": "learned",
    "fastapi": "serve",
    "fastapi_offline": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "orjson": "serve",
}
RECBOLE = "RecBole is not installed: pip install --no-deps recbole==1.2.1"
"""RecBole stands beside today's libraries; its own pins (Ray <= 2.6.3) can be met up to Python 3.11 only."""


class MissingPackageError(ModuleNotFoundError):
    """A package is not installed that only a part of the plugin needs."""


def is_installed(package: str) -> bool:
    """Whether a package could be imported.

    >>> is_installed("recbole_hetcomp"), is_installed("this_is_installed_nowhere")
    (True, False)
    """
    try:
        return find_spec(package) is not None
    except ValueError:  # one that stands in sys.modules for another
        return False


def require(purpose: str, *packages: str) -> None:
    """Refuse a purpose for which a package is missing, before anything is begun.

    Args:
        purpose: what for, as the message is to begin.
        packages: of :data:`EXTRAS`.

    Raises:
        MissingPackageError: one is not installed.

    >>> require("Ranking tables", "pyarrow")
    """
    for package in packages:
        if not is_installed(package):
            extra = EXTRAS[package]
            raise MissingPackageError(
                f"{purpose}: {package} is not installed, pip install 'recbole-hetcomp[{extra}]' brings it", name=package
            )
