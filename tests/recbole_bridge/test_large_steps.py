"""Steps over large data: torch's own distribution and numbers, computed otherwise."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from recbole_hetcomp.recbole_bridge import large_steps
from recbole_hetcomp.recbole_bridge.large_steps import (
    LargeSteps,
    dropout_of_rows,
    fused_where_large,
    large_steps_of,
)


@pytest.fixture
def rows(monkeypatch) -> torch.Tensor:
    """A batch that counts as large, a tenth of it not zero."""
    monkeypatch.setattr(large_steps, "LARGE_ROWS", 1000)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(200, 500, generator=generator) * (torch.rand(200, 500, generator=generator) < 0.1)


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_what_stays_is_scaled_and_what_was_zero_stays_zero(rows, p):
    torch.manual_seed(1)
    dropped = dropout_of_rows(rows, p, training=True)
    kept = dropped != 0
    assert dropped.shape == rows.shape
    assert not (kept & (rows == 0)).any()
    torch.testing.assert_close(dropped[kept], rows[kept] / (1 - p))
    count = int((rows != 0).sum())
    assert int(kept.sum()) / count == pytest.approx(1 - p, abs=5 * (p * (1 - p) / count) ** 0.5)  # 5 s.d.
    assert not torch.equal(dropped, dropout_of_rows(rows, p, training=True))  # drawn anew


def test_only_what_is_not_zero_is_drawn(rows):
    torch.manual_seed(1)
    dropout_of_rows(rows, 0.5, training=True)
    after = torch.rand(1)
    torch.manual_seed(1)
    F.dropout(torch.ones(int((rows != 0).sum())), 0.5)
    assert torch.equal(after, torch.rand(1))


def test_it_is_torchs_own_where_nothing_is_gained(rows):
    dense = torch.rand(200, 500)
    with_gradient = rows.clone().requires_grad_()
    for case in (dense, rows[:1], with_gradient):
        torch.manual_seed(1)
        found = dropout_of_rows(case, 0.5, training=True)
        torch.manual_seed(1)
        assert torch.equal(found, F.dropout(case, 0.5))
    assert dropout_of_rows(rows, 0.5, training=False) is rows


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything_may_be_dropped(rows, p):
    assert torch.equal(dropout_of_rows(rows, p, training=True), rows * (1 - p))


def test_a_probability_that_is_none_is_refused(rows):
    with pytest.raises(ValueError, match="between 0 and 1"):
        dropout_of_rows(rows, 1.5, training=True)


def test_rows_need_not_be_contiguous(rows):
    assert dropout_of_rows(rows.T, 0.5, training=True).shape == (500, 200)


def test_who_calls_torch_gets_it_too(rows):
    layers = nn.Sequential(nn.Dropout(0.5), nn.Identity())
    torch.manual_seed(1)
    expected = dropout_of_rows(rows, 0.5, training=True)
    with LargeSteps():
        for call in (lambda: F.dropout(rows), lambda: F.dropout(rows, 0.5, True), lambda: layers(rows)):
            torch.manual_seed(1)
            assert torch.equal(call(), expected)
        assert F.dropout(rows, training=False) is rows
        changed = rows.clone()
        assert F.dropout(changed, 0.5, inplace=True) is changed
    torch.manual_seed(1)
    assert not torch.equal(F.dropout(rows), expected)


@pytest.fixture
def graph(monkeypatch) -> torch.Tensor:
    """A matrix that counts as large and is not symmetric, in coordinates of which some repeat."""
    monkeypatch.setattr(large_steps, "LARGE_GRAPH", 100)
    generator = torch.Generator().manual_seed(0)
    place = torch.randint(0, 30, (2, 300), generator=generator) + torch.tensor([[0], [10]])
    return torch.sparse_coo_tensor(place, torch.rand(300, generator=generator), (30, 40), check_invariants=True)


def test_the_product_and_its_gradient_are_torchs(graph):
    start, steps = torch.randn(40, 5, generator=torch.Generator().manual_seed(1)), LargeSteps()
    for _ in range(3):  # the first is torch's own, the second lays the matrix out
        found, expected = (start.clone().requires_grad_() for _ in range(2))
        weights = torch.randn(30, 5)
        product = steps.product(graph, found)
        reference = graph.to_dense() @ expected
        torch.testing.assert_close(product, reference)
        (product * weights).sum().backward()
        (reference * weights).sum().backward()
        torch.testing.assert_close(found.grad, expected.grad)
    assert by_rows(steps, graph)


def by_rows(steps: LargeSteps, graph: torch.Tensor) -> bool:
    """Whether a matrix has been laid out."""
    return id(graph) in steps._graphs and steps._graphs[id(graph)].by_rows is not None


def test_the_gradients_are_those_of_small_differences(graph):
    matrix, embeddings, steps = (
        graph.double(),
        torch.randn(40, 2, dtype=torch.float64, requires_grad=True),
        LargeSteps(),
    )
    steps.product(matrix, embeddings)
    assert torch.autograd.gradcheck(lambda given: steps.product(matrix, given), embeddings)
    assert torch.autograd.gradgradcheck(lambda given: steps.product(matrix, given), embeddings)
    assert by_rows(steps, matrix)


def test_a_matrix_is_laid_out_once_and_forgotten_with_it(graph):
    steps, ones = LargeSteps(), torch.ones(40, 2)
    own = graph.clone()
    for _ in range(2):
        steps.product(own, ones)
    laid_out = steps._graphs[id(own)].by_rows
    steps.product(own, ones)
    assert steps._graphs[id(own)].by_rows is laid_out
    assert torch.equal(copy.deepcopy(own).to_dense(), own.to_dense())  # nothing hangs on it
    del own
    assert not steps._graphs


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: graph.mul_(2),
        lambda graph: graph._values().mul_(2),
        lambda graph: setattr(graph, "data", (graph * 2).coalesce()),
    ],
    ids=["whole", "values", "data"],
)
def test_a_matrix_that_has_changed_is_laid_out_anew(graph, change):
    own, steps = graph.coalesce(), LargeSteps()
    embeddings = torch.ones(40, 2, requires_grad=True)
    for _ in range(3):
        steps.product(own, embeddings)
    change(own)
    for _ in range(3):
        embeddings.grad = None
        product = steps.product(own, embeddings)
        product.sum().backward()
        torch.testing.assert_close(product, own.to_dense() @ torch.ones(40, 2))
        torch.testing.assert_close(embeddings.grad, own.to_dense().sum(0)[:, None].expand(40, 2))


def test_what_is_no_large_graph_of_numbers_is_torchs(graph):
    steps, ones = LargeSteps(), torch.ones(40, 2)
    assert steps.product(graph.clone().requires_grad_(), ones).requires_grad
    small = torch.eye(4).to_sparse()
    for matrix, embeddings in ((small, torch.ones(4, 2)), (graph.bfloat16(), ones.bfloat16())):
        for _ in range(3):
            torch.testing.assert_close(steps.product(matrix, embeddings), matrix.to_dense() @ embeddings)
    assert not steps._graphs
    for wrong in (torch.ones(39, 2), torch.ones(40, 2, dtype=torch.float64)):
        for _ in range(3):
            with pytest.raises(RuntimeError):
                steps.product(graph, wrong)


def test_who_multiplies_by_torch_gets_it_too(graph):
    with LargeSteps() as steps:
        for _ in range(2):
            torch.sparse.mm(graph, torch.ones(40, 2))
        assert by_rows(steps, graph)
        assert torch.sparse.mm(graph, torch.eye(40).to_sparse()).layout == torch.sparse_coo


def bare(kind: type[nn.Module]) -> nn.Module:
    """A model without its data."""
    model = kind.__new__(kind)
    nn.Module.__init__(model)
    return model


def test_autoencoders_and_large_graphs_gain_and_no_one_else(graph):
    from recbole.model.general_recommender import BPR, LightGCN, MultiVAE

    class Wrapping(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

    def gains(model: nn.Module) -> bool:
        return isinstance(large_steps_of(model), LargeSteps)

    assert gains(bare(MultiVAE))
    assert gains(Wrapping(bare(MultiVAE)))  # a student's backbone
    assert not gains(bare(BPR))
    lightgcn = bare(LightGCN)
    lightgcn.norm_adj_matrix = torch.eye(4).to_sparse()
    assert not gains(lightgcn)
    lightgcn.norm_adj_matrix = graph
    assert gains(lightgcn)
    buffered = bare(BPR)
    buffered.register_buffer("graph", graph)
    assert gains(buffered)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize(("size", "fused"), [(999, None), (1000, True)])
def test_the_step_of_a_large_model_is_fused_and_the_same(monkeypatch, kind, size, fused):
    monkeypatch.setattr(large_steps, "LARGE_MODEL", 1000)
    generator = torch.Generator().manual_seed(0)
    start, gradients = torch.randn(size, generator=generator), torch.randn(3, size, generator=generator)

    def stepped(change: Any) -> torch.Tensor:
        parameter = torch.nn.Parameter(start.clone())
        optimizer = change(kind([parameter], lr=0.1, weight_decay=0.01))
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
        assert [group["fused"] for group in optimizer.param_groups] == [fused if change is fused_where_large else None]
        return parameter.detach()

    torch.testing.assert_close(stepped(fused_where_large), stepped(lambda optimizer: optimizer), rtol=1e-5, atol=1e-6)


def test_other_optimizers_and_old_torch_are_left_alone(monkeypatch):
    monkeypatch.setattr(large_steps, "LARGE_MODEL", 1)
    for plain in (
        torch.optim.SGD([torch.zeros(5)], lr=0.1),
        torch.optim.Adam([torch.zeros(5, dtype=torch.complex64)]),
        torch.optim.Adam([torch.zeros(5)], differentiable=True),
    ):
        assert not fused_where_large(plain).param_groups[0]["fused"]

    def refuses(*_: Any, **__: Any) -> None:
        raise RuntimeError("`fused=True` requires all the params to be CUDA")

    adam = torch.optim.Adam([torch.zeros(5)])
    with monkeypatch.context() as old:
        old.setattr(torch.optim.Adam, "__init__", refuses)
        assert not fused_where_large(adam).param_groups[0]["fused"]


def test_a_fused_optimizer_goes_on_where_it_was_saved(monkeypatch):
    monkeypatch.setattr(large_steps, "LARGE_MODEL", 1)

    def begun() -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
        parameter = torch.nn.Parameter(torch.ones(5))
        return parameter, fused_where_large(torch.optim.Adam([parameter], lr=0.1))

    def step(parameter: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        parameter.grad = parameter.detach().square()
        optimizer.step()

    through, first = begun()
    step(through, first)
    saved, state = through.detach().clone(), read_back(first.state_dict())
    step(through, first)
    again, second = begun()
    second.load_state_dict(state)
    again.data.copy_(saved)
    step(again, second)
    assert torch.equal(again, through)


def read_back(state: dict[str, Any]) -> dict[str, Any]:
    """A state as it is read back from a checkpoint."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
