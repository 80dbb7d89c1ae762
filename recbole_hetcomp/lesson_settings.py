"""Settings of what a student is taught and how it counts: consensus, curriculum and losses (method sections 2 to 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional

from recbole_hetcomp.declared import Settings, setting, settings_group

EXACT_UP_TO = 50_000  # items of a catalogue that is scored whole in training by itself
REST_DRAWS = 8192  # draws a batch on a larger one
FEW_DIMENSIONS = 2750  # items a dimension from which the student's own list is taught by itself
OWN_LIST_WEIGHT = 10.0  # its weight there


@settings_group
class Ranks(Settings):
    """What consensus and curriculum share."""

    T_r: float = setting(30.0, "Temperature of the rank's importance, in ranks.", above=0)


@settings_group
class Consensus(Ranks):
    """The teachers' consensus (method section 2)."""

    K: int = setting(200, "Length of the unobserved list that is taught; K/10 observed items are.", at_least=1)
    T_s: float = setting(100.0, "Temperature of the consistency, in ranks.", above=0)
    teacher_weights: Optional[tuple[float, ...]] = setting(
        None, "w_m, one per teacher; None: from their validation scores."
    )
    quality_weighting: float = setting(
        10.0, "beta in w_m = exp(beta (q_m / mean q - 1)), q_m a teacher's validation score; 0: 1 each.", at_least=0
    )
    fusion: str = setting(
        "consensus",
        "How lists become one: the method's consensus; rrf (reciprocal ranks); borda; combsum and combmnz of "
        "rank-normalised scores; learned (boosted trees, fitted to validation, cross-fitted over users).",
        one_of=("consensus", "rrf", "borda", "combsum", "combmnz", "learned"),
    )
    rrf_k: float = setting(60.0, "k in rrf's 1 / (k + rank), ranks from 1.", at_least=0)
    use_consistency: bool = setting(False, "Whether the consensus has its consistency term.")
    consistency_window: int = setting(
        0, "Snapshots on each side over which the consistency is measured; 0: each listing counts 1.", at_least=0
    )
    popularity_discount: float = setting(
        0.0,
        "gamma: popular items count n_i^-gamma in what is taught, n_i their training interactions; "
        "0.05 - 0.1 lowers popularity bias.",
        at_least=0,
    )

    def check(self) -> None:
        """Refuse weights of which none counts."""
        super().check()
        weights = self.teacher_weights
        if weights is not None and (not weights or min(weights) < 0 or max(weights) == 0):
            raise ValueError(f"teacher_weights={weights} is not allowed: numbers of at least 0, one of them above 0")
        if self.fusion == "learned" and self.popularity_discount:
            raise ValueError(
                f"popularity_discount={self.popularity_discount} is not allowed with fusion='learned', whose scores "
                "have no scale: 0, or another fusion"
            )

    @property
    def K_observed(self) -> int:
        """K/10, length of the taught list of observed items."""
        return max(1, self.K // 10)

    @property
    def reach(self) -> int:
        """The window that is looked at: 0 where there is no consistency term."""
        return self.consistency_window if self.use_consistency and self.fusion in ("consensus", "learned") else 0

    def weights(self, n_teachers: int) -> tuple[float, ...]:
        """One weight for each of ``n_teachers`` teachers.

        Raises:
            ValueError: if ``teacher_weights`` is of another length, or there is no teacher.

        >>> Consensus().weights(2)
        (1.0, 1.0)
        """
        if n_teachers < 1:
            raise ValueError("no teacher; allowed: 1 or more")
        if self.teacher_weights is None:
            return (1.0,) * n_teachers
        if len(self.teacher_weights) != n_teachers:
            raise ValueError(
                f"teacher_weights has {len(self.teacher_weights)} values; allowed: {n_teachers}, one for each teacher"
            )
        return self.teacher_weights

    def weighed(self, scores: Sequence[float], bigger: bool = True) -> Consensus:
        """This consensus with every teacher's weight decided.

        Args:
            scores: the teachers' validation scores, in their order.
            bigger: whether a bigger score is better.

        Returns:
            A consensus whose ``teacher_weights`` are the given ones, or follow from the scores by
            ``quality_weighting``.
        """
        decided = self.teacher_weights
        if decided is None and self.quality_weighting:
            mean = sum(scores) / len(scores)
            sign = 1.0 if bigger else -1.0
            strength = sign * self.quality_weighting / mean if mean else 0.0
            decided = tuple(math.exp(strength * (score - mean)) for score in scores)
        own = {name: getattr(self, name) for name in Consensus.names()}
        return Consensus(**{**own, "teacher_weights": decided})


@settings_group
class Curriculum(Ranks):
    """Dynamic knowledge construction (method sections 3 and 4)."""

    curriculum: str = setting(
        "none", "dynamic (the paper's), or none (the final consensus from the start).", one_of=("dynamic", "none")
    )
    pace: str = setting(
        "user", "user (each moves on alone), or common (all together, by the mean discrepancy).",
        one_of=("user", "common"),
    )  # fmt: skip
    discrepancy_gain: str = setting(
        "teacher",
        "By whose ranks a hit counts: teacher (paper), position (authors' code).",
        one_of=("teacher", "position"),
    )
    K_D: int = setting(50, "Length at which the discrepancy is measured.", at_least=1)
    alpha: float = setting(1.05, "How much closer a user must have come to a snapshot to be taught it.", above=0)
    alpha_decay: float = setting(0.995, "Factor on alpha per curriculum step.", above=0, at_most=1)
    p: int = setting(5, "Epochs between curriculum steps.", at_least=1)
    alpha_exponent: str = setting(
        "step",
        "What alpha_decay is raised to: step (the paper's, 1 at the first comparison), epoch (epoch // p, the authors' "
        "code, 2 there).",
        one_of=("step", "epoch"),
    )
    observed_follow: bool = setting(
        True, "Whether the taught observed items follow the snapshots; False: those of the start stay (authors' code)."
    )

    def alpha_at(self, step: int) -> float:
        """alpha_t; step 0 is the one that only measures, so the first comparison uses step 1.

        Step t comes before epoch (t + 1) p, so ``alpha_exponent: epoch`` is one more.

        Once alpha_t is at most 1 (from step 10 on, with the defaults) every gamma but one that equals 1
        exactly moves its user on: the curriculum ends soon after, whatever the student does.

        >>> Curriculum(alpha=2.0, alpha_decay=0.5).alpha_at(2)
        0.5
        """
        return self.alpha * self.alpha_decay ** (step + (self.alpha_exponent == "epoch"))


@settings_group
class Loss(Settings):
    """Adaptive knowledge transfer (method section 5)."""

    adkt: str = setting(
        "user",
        "When users take the fine loss: user (each alone), global (all, when the teachers' mean snapshots round to "
        "the last; the curriculum then ends), fine, coarse (that loss alone).",
        one_of=("user", "global", "fine", "coarse"),
    )
    observed_knowledge: str = setting(
        "separate",
        "separate (observed items in terms of their own), none (left out), joint (observed, then unobserved, as one).",
        one_of=("separate", "none", "joint"),
    )
    behind_observed: str = setting(
        "untaught",
        "What stands behind the observed items in the fine loss: untaught (unobserved items outside the first K/2 of "
        "the taught list), unobserved (all of them).",
        one_of=("untaught", "unobserved"),
    )
    place_decay: Optional[float] = setting(
        30.0,
        "T of the weight exp(-k / T) of place k of the unobserved list in the fine loss, in ranks; None: the paper's "
        "two lists, the first K/2 and K/10.",
        above=0,
    )
    own_list_weight: Optional[float] = setting(
        None,
        "Most that the student's own list counts beside pi-, times (the share of pi- that it lacks)^2 of each user; 0: "
        f"it is not taught; None: {OWN_LIST_WEIGHT:g} from {FEW_DIMENSIONS:,} items a dimension on, but not above "
        f"{EXACT_UP_TO:,} items, else 0.",
        at_least=0, at_most=1e6,
    )  # fmt: skip
    own_list_from: float = setting(0.5, "Share of the epochs before it is taught.", at_least=0, at_most=1)
    own_list_decay: float = setting(
        20.0, "T of the mass exp(-r / T) of its item of rank r in pi-, in ranks.", at_least=1
    )
    own_list_every: int = setting(5, "Epochs between makings of it.", at_least=1)
    coarse_weight: float = setting(0.01, "Weight of the coarse loss, summed over a batch's users.", at_least=0)
    fine_weight: float = setting(0.005, "Weight of the fine loss, summed over a batch's users.", at_least=0)
    base_loss_weight: float = setting(0.0, "Weight of the backbone's own loss.", at_least=0)
    score_scale: Optional[float] = setting(
        None, "Factor on the student's scores in the losses (1 / temperature); None: the backbone's, 1 for most.",
        above=0, at_most=1000,
    )  # fmt: skip
    rest_sample_num: Optional[int] = setting(
        None,
        f"S: items drawn to estimate the rest term; 0: exact; None: {REST_DRAWS} above {EXACT_UP_TO:,} items.",
        at_least=0,
    )
    rest_sample_shared: bool = setting(
        True, "Whether a batch's users share their draws (one matrix product); False: each has its own."
    )

    def check(self) -> None:
        """Refuse own lists where none would be taught."""
        super().check()
        if self.own_list_weight and self._without_own_list:
            raise ValueError(
                f"own_list_weight={self.own_list_weight} is not allowed with {self._without_own_list}: 0 or null"
            )

    @property
    def _without_own_list(self) -> str:
        """The setting with which no student's own list is taught; empty where there is none.

        It stands beside the fine loss, and holds unobserved items alone.
        """
        for name, value in (("observed_knowledge", "joint"), ("adkt", "coarse"), ("fine_weight", 0.0)):
            if getattr(self, name) == value:
                return f"{name}={value!r}"
        return ""

    def draws(self, n_items: int) -> int:
        """S for a catalogue: ``rest_sample_num``, or what suits its size; 0 means all items.

        Args:
            n_items: I, without RecBole's padding item.
        """
        if self.rest_sample_num is not None:
            return self.rest_sample_num
        return 0 if n_items <= EXACT_UP_TO else REST_DRAWS

    def own_weight(self, n_items: int, dimension: int) -> float:
        """Weight of the student's own list: ``own_list_weight``, or what suits the sizes.

        Args:
            n_items: I, without RecBole's padding item.
            dimension: d; 0 where the backbone has none.
        """
        if self.own_list_weight is not None:
            return self.own_list_weight
        if self._without_own_list:
            return 0.0
        few = dimension and FEW_DIMENSIONS * dimension <= n_items <= EXACT_UP_TO
        return OWN_LIST_WEIGHT if few else 0.0
