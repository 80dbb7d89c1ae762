"""The student as an ONNX graph: rows of users, the items that they have seen, and k → top items and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18


def write_graph(file: Path, users: NDArray[np.float32], items: NDArray[np.float32]) -> None:
    """Write the graph, checked.

    Its inputs are ``user``, int64 [B], rows of ``users``; ``seen``, int64 [B, S], rows of items that are no candidates,
    -1 behind the last; and ``k``, int64 [1], at most I. Its outputs are ``recommended``, int64 [B, k], best first, ties
    to the smaller row, and ``scores``, float32 [B, k], -inf where a user has seen too much for k items.

    Args:
        file: the target.
        users: float32 [U, d].
        items: float32 [I, d].
    """
    transposed = np.zeros((items.shape[1], len(items) + 1), dtype=np.float32)  # a last column for -1 of ``seen``
    transposed[:, :-1] = items.T
    constants: dict[str, NDArray[Any]] = {
        "users": users,
        "items": transposed,
        "minus_infinity": np.array([-np.inf], dtype=np.float32),
        "first": np.array([0], dtype=np.int64),
        "last": np.array([len(items)], dtype=np.int64),
        "axis": np.array([1], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["users", "user"], ["vector"], axis=0),
        helper.make_node("MatMul", ["vector", "items"], ["all"]),
        helper.make_node("Shape", ["seen"], ["shape"]),
        helper.make_node("Expand", ["minus_infinity", "shape"], ["hidden"]),
        helper.make_node("ScatterElements", ["all", "seen", "hidden"], ["masked"], axis=1),
        helper.make_node("Slice", ["masked", "first", "last", "axis"], ["candidates"]),
        helper.make_node("TopK", ["candidates", "k"], ["scores", "recommended"], axis=1, largest=1, sorted=1),
    ]
    graph = helper.make_graph(
        nodes,
        "recommend",
        [
            helper.make_tensor_value_info("user", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("seen", TensorProto.INT64, ["batch", "seen_width"]),
            helper.make_tensor_value_info("k", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("recommended", TensorProto.INT64, ["batch", "top"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "top"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="recbole-hetcomp")
    model.ir_version = 8  # what runtimes of 2023 read
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


class OnnxRanker:
    """A written graph in its runtime.

    Args:
        file: the graph.
    """

    def __init__(self, file: Path) -> None:
        import onnxruntime

        self._session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def __call__(self, users: NDArray[np.int64], seen: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        """Rows of the best items, int64 [B, k], -1 behind the last.

        Args:
            users: rows, int64 [B].
            seen: rows of items that are no candidates, -1 behind the last, int64 [B, S].
            k: length of the lists, at most I.
        """
        asked = {"user": users, "seen": seen, "k": np.array([k], dtype=np.int64)}
        items, scores = self._session.run(["recommended", "scores"], asked)
        return np.where(np.isneginf(scores), -1, items)
