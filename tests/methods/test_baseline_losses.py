"""The compared methods' losses and choices against naive loops, their gradients, and degenerate lists."""

from __future__ import annotations

import math
from typing import Any

import baseline_oracles as oracle
import pytest
import torch

from recbole_hetcomp.core import PAD, plackett_luce_nll, rest_logsumexp
from recbole_hetcomp.core.sampling import gumbel
from recbole_hetcomp.methods.cd import CDSettings, soft_cross_entropy
from recbole_hetcomp.methods.cldrd import CLDRDSettings, group_ends, grouped_ranking_loss
from recbole_hetcomp.methods.dcd import DCDSettings, correction_loss, corrections, item_corrections
from recbole_hetcomp.methods.mtd import MTDSettings, UnionOfLists, gated_ranking_loss
from recbole_hetcomp.methods.rcekd import RCEKDSettings, closure_sample, split_cross_entropy
from recbole_hetcomp.methods.rd import RDSettings, ranking_weights, weighted_log_loss
from recbole_hetcomp.methods.rrd import RRDSettings
from recbole_hetcomp.methods.unkd import PopularityGroups, UnKDSettings, pair_loss, popularity_groups

N_ITEMS, N_USERS = 23, 6
LENGTHS = (7, 1, 0, 5, 7, 3)  # of the users' lists


def scores(seed: int = 0, columns: int = N_ITEMS, spread: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(N_USERS, columns, dtype=torch.float64, generator=generator)


def lists(seed: int, lengths: tuple[int, ...] = LENGTHS, columns: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.stack([torch.randperm(N_ITEMS, generator=generator)[:columns] for _ in lengths])
    return found.masked_fill(torch.arange(columns) >= torch.tensor(lengths)[:, None], PAD)


def plain(rows: torch.Tensor) -> list[list[int]]:
    return [[item for item in row if item != PAD] for row in rows.tolist()]


def taken(f: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    return f.gather(1, items.clamp(min=0))


def close(found: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype), rtol=1e-9, atol=1e-12)


# --- RD ---


def rd(**more: Any) -> RDSettings:
    values = {"position_temperature": 4.0, "discrepancy_scale": 0.2, "warmup_epochs": 0, "rank_sample_num": 9}
    return RDSettings(kd_weight=1.0, **{**values, **more})


@pytest.mark.parametrize("warm", [True, False])
def test_rd_weights_and_loss(warm):
    f, items, sample = scores(), lists(1), scores(2, columns=9)
    listed, valid = taken(f, items), items != PAD
    weights = ranking_weights(listed, valid, sample if warm else None, 100, rd())
    expected, losses = [], []
    for user, row in enumerate(plain(items)):
        own = [float(f[user, item]) for item in row]
        found = oracle.ranking_weights(own, sample[user].tolist() if warm else None, 100, 4.0, 0.2)
        expected.append(found + [0.0] * (7 - len(row)))
        losses.append(oracle.weighted_log_loss(own, found))
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(
        weighted_log_loss(listed, weights), torch.tensor(losses, dtype=torch.float64), rtol=1e-6, atol=1e-9
    )


def test_rd_leaves_alone_what_the_student_ranks_as_high_as_the_teacher():
    listed = torch.tensor([[9.0, 8.0]])
    weights = ranking_weights(listed, torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 5), 50, rd())
    assert weights.tolist() == [[0.0, 0.0]]


# --- CD ---


def test_cd_loss():
    f, targets, weights = scores(), torch.sigmoid(scores(1)), scores(2).abs()
    expected = [oracle.soft_cross_entropy(*rows) for rows in zip(f.tolist(), targets.tolist(), weights.tolist())]
    close(soft_cross_entropy(f, targets, weights), expected)


def test_cd_is_least_where_the_student_gives_the_targets():
    targets = torch.tensor([[0.9, 0.2]], dtype=torch.float64)
    f = torch.logit(targets).requires_grad_()
    (gradient,) = torch.autograd.grad(soft_cross_entropy(f, targets, torch.ones_like(f)).sum(), f)
    torch.testing.assert_close(gradient, torch.zeros_like(f))


# --- CL-DRD ---


@pytest.mark.parametrize("n_groups", [1, 2, 3, 7, 100])
def test_cldrd_loss(n_groups):
    f, rest = scores(columns=7), scores(1)[:, 0]
    lengths = torch.tensor(LENGTHS)
    valid = torch.arange(7) < lengths[:, None]
    expected = []
    for user, length in enumerate(LENGTHS):
        groups = [[place for place in group if place < length] for group in oracle.equal_groups(7, n_groups)]
        expected.append(oracle.grouped_ranking_loss(f[user].tolist(), float(rest[user]), groups))
    close(grouped_ranking_loss(f, rest, valid, n_groups), expected)


def test_cldrd_of_single_items_is_l_rank():
    f, rest, valid = scores(columns=7), scores(1)[:, 0], torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    torch.testing.assert_close(grouped_ranking_loss(f, rest, valid, 7), plackett_luce_nll(f, rest, valid))


def test_cldrd_groups_are_as_equal_as_can_be():
    for length in range(1, 9):
        for n_groups in range(1, 12):
            groups = oracle.equal_groups(length, n_groups)
            assert group_ends(length, n_groups) == [group[-1] + 1 for group in groups for _ in group]


def test_cldrd_stages():
    settings = CLDRDSettings(stage_groups=(1, 5, 20), stage_epochs=4)
    assert [settings.stage_at(epoch) for epoch in (0, 3, 4, 7, 8, 500)] == [0, 0, 1, 1, 2, 2]


# --- MTD ---


def test_mtd_loss():
    f = scores()
    rankings = torch.stack([lists(3), lists(4, (7, 7, 7, 2, 0, 7)), lists(5)], dim=1)
    history = [[int(item) for item in torch.randperm(N_ITEMS)[:3]] for _ in range(N_USERS)]
    for user, row in enumerate(history):  # the teachers list unobserved items
        for item in row:
            rankings[user][rankings[user] == item] = PAD
        for m in range(3):
            kept = [item for item in rankings[user, m].tolist() if item != PAD]
            rankings[user, m] = torch.tensor(kept + [PAD] * (7 - len(kept)))
    gate = torch.softmax(scores(6, columns=3), dim=1)
    union = UnionOfLists.of(rankings)
    outside = torch.zeros(N_USERS, N_ITEMS, dtype=torch.bool)
    for user, row in enumerate(history):
        outside[user, row] = True
        outside[user, union.items[user][union.items[user] != PAD]] = True
    rest = rest_logsumexp(f, outside)
    expected = [
        oracle.gated_ranking_loss(f[user].tolist(), history[user], plain(rankings[user]), gate[user].tolist())
        for user in range(N_USERS)
    ]
    close(gated_ranking_loss(taken(f, union.items), union, rest, gate), expected)
    entropy = (-gate * gate.log()).sum(dim=1)
    close(
        gated_ranking_loss(taken(f, union.items), union, rest, gate, 3.0),
        (torch.tensor(expected, dtype=torch.float64) - 3 * entropy).tolist(),
    )


def test_mtd_with_nothing_listed_and_nothing_left():
    union = UnionOfLists.of(torch.full((2, 3, 4), PAD))
    assert not union.first.any()
    f = torch.zeros(2, 12, requires_grad=True)
    loss = gated_ranking_loss(f, union, torch.full((2,), -torch.inf), torch.full((2, 3), 1 / 3))
    assert loss.tolist() == [0, 0]
    assert torch.autograd.grad(loss.sum(), f)[0].abs().sum() == 0


# --- DCD ---


def dcd(**more: Any) -> DCDSettings:
    values = {"under_num": 3, "over_num": 2, "student_depth": 9, "selection": "most", "refresh_epochs": 1}
    weights = {"kd_weight": 1.0, "ranking_weight": 1.0, "item_weight": 1.0, "discrepancy_scale": 0.3}
    return DCDSettings(**{**weights, **values, **more})  # type: ignore[arg-type]


def test_dcd_choices_of_a_user():
    teacher, student = lists(7), lists(8, (9, 9, 9, 0, 4, 9), columns=9)
    found = corrections(teacher, student, dcd(), torch.Generator())
    for user, pair in enumerate(zip(plain(teacher), plain(student))):
        under, over = oracle.corrections(*pair, absent=9, n_under=3, n_over=2)
        assert plain(found.under)[user] == under
        assert plain(found.over)[user] == over


def test_dcd_draws_stay_among_the_misjudged():
    teacher, student = lists(7), lists(8, (9,) * N_USERS, columns=9)
    everything = corrections(teacher, student, dcd(under_num=20, over_num=20), torch.Generator())
    drawn = corrections(teacher, student, dcd(selection="sample"), torch.Generator().manual_seed(0))
    for user in range(N_USERS):
        assert set(plain(drawn.under)[user]) <= set(plain(everything.under)[user])
        assert set(plain(drawn.over)[user]) <= set(plain(everything.over)[user])
    assert not torch.equal(drawn.under, corrections(teacher, student, dcd(), torch.Generator()).under)


def test_dcd_choices_of_an_item():
    generator = torch.Generator().manual_seed(3)
    pairs = torch.randperm(40 * 5, generator=generator)[:90]
    users, items = pairs // 5, pairs % 5
    rank = torch.randint(0, 8, (90,), generator=generator)
    rank[torch.rand(90, generator=generator) < 0.4] = PAD
    f = torch.randint(0, 5, (90,), generator=generator).double()  # ties
    found = item_corrections(users, items, rank, f, 6, dcd(under_num=4, over_num=3), generator)
    for item in range(6):
        candidates = {
            int(users[n]): (None if rank[n] == PAD else int(rank[n]), float(f[n]))
            for n in range(90)
            if items[n] == item
        }
        under, over = oracle.item_corrections(candidates, 4, 3)
        assert plain(found.under)[item] == under
        assert plain(found.over)[item] == over


def test_dcd_loss():
    under, over = scores(columns=4), scores(1, columns=3)
    under_valid = torch.arange(4) < torch.tensor([4, 0, 2, 4, 1, 3])[:, None]
    over_valid = torch.arange(3) < torch.tensor([3, 3, 0, 1, 2, 3])[:, None]
    expected = [
        oracle.rank_loss(under[u][under_valid[u]].tolist(), over[u][over_valid[u]].tolist()) for u in range(N_USERS)
    ]
    close(correction_loss(under, over, under_valid, over_valid), expected)


# --- UnKD ---


def test_unkd_groups():
    counts = torch.randint(0, 30, (50,), generator=torch.Generator().manual_seed(0))
    for group_num in (1, 2, 5):
        assert popularity_groups(counts, group_num).tolist() == oracle.popularity_groups(counts.tolist(), group_num)


def unkd(**more: Any) -> UnKDSettings:
    return UnKDSettings(**{"kd_weight": 1.0, "group_num": 3, "pair_num": 400, "pair_temperature": 2.0, **more})


def test_unkd_pairs_are_of_one_group_and_in_the_teachers_order():
    rankings, group = lists(9), torch.arange(N_ITEMS) % 3
    better, worse = PopularityGroups.of(rankings, group, 3).pairs(unkd(), torch.Generator().manual_seed(0))
    assert (better[1] == PAD).all()
    assert (better[2] == PAD).all()  # one item, none: no pair
    for user, ranking in enumerate(plain(rankings)):
        drawn = {pair for pair in zip(better[user].tolist(), worse[user].tolist()) if PAD not in pair}
        possible = {
            (ranking[k], ranking[j])
            for k in range(len(ranking))
            for j in range(k + 1, len(ranking))
            if ranking[k] % 3 == ranking[j] % 3
        }
        assert drawn == possible  # 400 draws leave out none


def test_unkd_draws_ranks_in_proportion_to_their_importance():
    ranking = torch.arange(6)[None]
    groups = PopularityGroups.of(ranking, torch.zeros(6, dtype=torch.int64), 1)
    better, worse = groups.pairs(unkd(pair_num=200_000), torch.Generator().manual_seed(0))
    weight = torch.exp(-torch.arange(6) / 2.0)
    both = torch.outer(weight, weight) / weight.sum() ** 2
    counts = torch.zeros(6, 6).index_put((better[0], worse[0]), torch.ones(200_000), accumulate=True) / 200_000
    torch.testing.assert_close(counts.triu(1), (2 * both).triu(1), atol=5e-3, rtol=0)


def test_unkd_loss():
    positive, negative = scores(columns=5), scores(1, columns=5)
    valid = torch.arange(5) < torch.tensor([5, 0, 3, 1, 5, 2])[:, None]
    expected = [oracle.pair_loss(positive[u][valid[u]].tolist(), negative[u][valid[u]].tolist()) for u in range(6)]
    close(pair_loss(positive, negative, valid), expected)


# --- RCE-KD ---


def rcekd(**more: Any) -> RCEKDSettings:
    values = {"closure_temperature": 3.0, "closure_cap": 50, "balance": 0.8, "refresh_epochs": 1}
    more = {"candidate_num": 9, "closure_num": 4, **values, **more}
    return RCEKDSettings(kd_weight=1.0, target_temperature=5.0, student_temperature=0.7, **more)


@pytest.mark.parametrize("overlap", ["top", "closure"])
def test_rcekd_loss(overlap):
    f, teacher = scores(), lists(10)
    top, closure = lists(11, (6, 6, 6, 6, 6, 0), columns=6), lists(12, (4, 4, 4, 2, 0, 4), columns=4)
    everything = taken(f, torch.cat((teacher, top, closure), dim=1))
    found = split_cross_entropy(everything, teacher, top, closure, rcekd(overlap=overlap))
    rows = zip(f.tolist(), plain(teacher), plain(top), plain(closure))
    expected = [oracle.split_cross_entropy(*row, T=5.0, tau=0.7, beta=0.8, overlap=overlap) for row in rows]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-7)


def test_rcekd_draws_without_replacement_from_the_students_list():
    teacher, student = lists(10), lists(13, (9, 9, 9, 2, 0, 9), columns=9)
    drawn = plain(closure_sample(teacher, student, rcekd(), torch.Generator().manual_seed(0)))
    for row, from_list in zip(drawn, plain(student)):
        assert len(row) == len(set(row)) == min(4, len(from_list))
        assert set(row) <= set(from_list)


def test_rcekd_draws_those_above_many_of_the_teachers_items_more_often():
    student = torch.arange(9).expand(20_000, 9)
    teacher = torch.tensor([[3, 7]]).expand(20_000, 2)
    drawn = closure_sample(teacher, student, rcekd(closure_num=1), torch.Generator().manual_seed(0))
    behind = torch.tensor([2.0, 2, 2, 2, 1, 1, 1, 1, 0])
    weight = torch.exp((behind + 1) / 3.0)
    share = torch.bincount(drawn.flatten(), minlength=9) / 20_000
    torch.testing.assert_close(share, weight / weight.sum(), atol=0.015, rtol=0)


# --- all ---


def losses(dtype: torch.dtype) -> dict[str, tuple[Any, torch.Tensor]]:
    """Each loss as a function of the student's scores, on lists of which one is empty."""
    rankings, valid = lists(1), lists(1) != PAD
    three = torch.stack([lists(3), lists(4), lists(5)], dim=1)
    union, gate = UnionOfLists.of(three), torch.full((N_USERS, 3), 1 / 3, dtype=dtype)
    top, closure, none = lists(11), lists(12), torch.full((N_USERS,), -torch.inf, dtype=dtype)
    weights = valid.to(dtype)
    f = scores().to(dtype)
    return {
        "RD": (lambda x: weighted_log_loss(x, weights), taken(f, rankings)),
        "CD": (lambda x: soft_cross_entropy(x, 0.5 * weights, weights), taken(f, rankings)),
        "CLDRD": (lambda x: grouped_ranking_loss(x, none, valid, 2), taken(f, rankings)),
        "MTD": (lambda x: gated_ranking_loss(x, union, none, gate), taken(f, union.items)),
        "DCD": (lambda x: correction_loss(x[:, :4], x[:, 4:], valid[:, :4], valid[:, 4:]), taken(f, rankings)),
        "UnKD": (lambda x: pair_loss(x[:, :3], x[:, 3:6], valid[:, :3]), taken(f, rankings)),
        "RCEKD": (
            lambda x: split_cross_entropy(x, rankings, top, closure, rcekd()),
            taken(f, torch.cat((rankings, top, closure), dim=1)),
        ),
    }


@pytest.mark.parametrize("name", sorted(losses(torch.float64)))
def test_gradients(name):
    loss, inputs = losses(torch.float64)[name]
    assert torch.autograd.gradcheck(loss, inputs.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", sorted(losses(torch.float64)))
def test_extreme_scores_give_finite_values_and_gradients(name, dtype):
    loss, inputs = losses(dtype)[name]
    inputs = (100 * inputs).requires_grad_()
    value = loss(inputs)
    (gradient,) = torch.autograd.grad(value.sum(), inputs)
    assert value.dtype == dtype
    assert value.shape == (N_USERS,)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()
    assert (gradient[2] == 0).all() or name in ("MTD", "RCEKD")  # its own list is empty


def test_gumbel_noise_has_its_mean_and_variance():
    noise = gumbel(torch.zeros(200_000), torch.Generator().manual_seed(0))
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.01)
    assert float(noise.var()) == pytest.approx(math.pi**2 / 6, abs=0.03)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: RRDSettings(kd_weight=-1.0), "kd_weight=-1.0"),
        (lambda: rd(position_temperature=0.0), "position_temperature=0.0"),
        (lambda: CDSettings(item_sample_num=-1), "item_sample_num=-1"),
        (lambda: MTDSettings(gate_temperature=0.0, gate_entropy=0.0), "gate_temperature=0.0"),
        (lambda: CLDRDSettings(stage_groups=(5, 5), stage_epochs=1), "stage_groups=.5, 5."),
        (lambda: CLDRDSettings(stage_groups=(), stage_epochs=1), "stage_groups="),
        (lambda: dcd(selection="best"), "selection='best'"),
        (lambda: unkd(group_num=0), "group_num=0"),
        (lambda: rcekd(closure_num=10), "closure_num=10 is not allowed: at most candidate_num=9"),
    ],
)
def test_settings_refuse_what_makes_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        settings()
