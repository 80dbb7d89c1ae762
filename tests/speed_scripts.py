"""Scripts of ``benchmarks/speed``, which import each other by their bare names, as modules."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SPEED = Path(__file__).resolve().parents[1] / "benchmarks" / "speed"


@contextmanager
def speed_script(name: str) -> Iterator[Any]:
    """The script of a name, while the others can be imported too."""
    sys.path.insert(0, str(SPEED))
    try:
        spec: Any = importlib.util.spec_from_file_location(f"{name}_benchmark", SPEED / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(SPEED))
