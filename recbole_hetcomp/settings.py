"""Every setting of the package, once: type, default, allowed values, meaning (names: docs/method.md).

Settings stand in groups; RecBole's keys are flat, so all of them together are one class, :class:`HetCompSettings`.
``properties/model/HetComp.yaml`` and ``docs/settings.md`` are written from here (``hetcomp settings --write``). What a
method has of its own is declared in its file (``recbole_hetcomp.methods``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.memory import block_elements, score_elements

SERVED_LENGTH = 100  # items of a teacher's serving-time list kept at least, for metrics at other cut-offs
EXACT_UP_TO = 50_000  # items of a catalogue that is scored whole in training by itself
REST_DRAWS = 8192  # draws a batch on a larger one
FEW_DIMENSIONS = 2750  # items a dimension from which the student's own list is taught by itself
OWN_LIST_WEIGHT = 10.0  # its weight there

IMPORTED = "import:"
"""Before the name of a teacher that was imported into the store (docs/rankings.md)."""


@settings_group
class Student(Settings):
    """The student and how it learns alone."""

    student_backbone: str = setting("BPR", "Any trainable RecBole general recommender.")
    embedding_size: int = setting(8, "The student's embedding size.", at_least=1)
    student_config: Mapping[str, Any] = setting({}, "Settings of the backbone that win over the run's, {key: value}.")
    embedding_init_std: Optional[float] = setting(
        None, "S.d. of normal initial embeddings; None: the backbone's own way.", at_least=0
    )
    compare_no_kd: bool = setting(True, "Whether the same student is also trained without teachers, for the table.")
    no_kd_config: Mapping[str, Any] = setting(
        {
            "learning_rate": 0.02,
            "learning_rate_schedule": "cosine",
            "scaled_weight_decay": 0.038,
            "train_batch_size": 2048,
            "epochs": 60,
            "eval_step": 5,
            "stopping_step": 5,
        },
        "Settings with which it is trained alone; its epochs and rate grow with items_per_dimension unless given.",
    )


@settings_group
class Teachers(Settings):
    """Teachers and their trajectories (method section 1)."""

    teachers: tuple[str, ...] = setting(
        ("IALS", "CML", "LightGCN", "MultiVAE", "ItemVAE"),
        "RecBole models of any type, import:NAME, dotted paths of your own (docs/teachers.md).",
    )
    teacher_config: Mapping[str, Mapping[str, Any]] = setting(
        {}, "Settings of single teachers, {name: {key: value}}; defaults: properties/model/."
    )
    teacher_rebuild: bool = setting(
        True, "Whether a damaged store entry is trained again; False: an error.", place=True
    )
    store_dir: str = setting("saved/trajectories", "Folder of the trajectory store, shared by runs.", place=True)
    snapshots: int = setting(4, "E: snapshots kept of each teacher, the best one last.", at_least=1)
    snapshot_spacing: str = setting(
        "even", "How snapshots are spread: even in epochs, or in validation score.", one_of=("even", "quality")
    )
    K_prime: int = setting(100, "K': length of the stored unobserved lists.", at_least=1)
    fit_weights: bool = setting(False, "Whether teachers' weights are fitted on validation, cross-fitted over users.")
    leave_out_harmful: bool = setting(
        False, "Whether teachers are left out without whom the ensemble is better on validation, beyond noise."
    )


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
        at_least=0,
    )
    own_list_from: float = setting(0.5, "Share of the epochs before it is taught.", at_least=0, at_most=1)
    own_list_decay: float = setting(20.0, "T of the mass exp(-r / T) of its item of rank r in pi-, in ranks.", above=0)
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
        few = dimension and FEW_DIMENSIONS * dimension <= n_items <= EXACT_UP_TO
        return OWN_LIST_WEIGHT if few else 0.0


@settings_group
class Training(Settings):
    """What is drawn in a step, and for how long (method section 6)."""

    preset: Optional[str] = setting(
        None, "Defaults as published, or for a first look (quick).", one_of=("paper", "authors", "quick")
    )
    user_sampling: str = setting(
        "user",
        "user (each once an epoch) or interaction (the users of a batch of interactions).",
        one_of=("user", "interaction"),
    )
    user_batch_size: int = setting(128, "Users in a step with user_sampling: user.", at_least=1)
    train_batch_size: int = setting(
        1024, "Interactions in a batch with user_sampling: interaction and of the base loss.", at_least=1
    )
    learning_rate: float = setting(0.06, "Learning rate.", above=0)
    weight_decay: float = setting(1e-5, "The L2 penalty of the optimizer.", at_least=0)
    weight_decay_pairs: Optional[float] = setting(
        1.5e8, "Users x items above which a weight_decay that is not given falls with their root; None: never.", above=0
    )
    scaled_weight_decay: Optional[float] = setting(
        None, "c in weight_decay = c / sqrt(users x items), where weight_decay is not given; None: no rule.", at_least=0
    )
    learning_rate_schedule: str = setting(
        "cosine",
        "constant, or cosine: the rate falls to nearly 0 along half a cosine over the epochs.",
        one_of=("constant", "cosine"),
    )
    epochs: int = setting(60, "Epochs at most, in the mode of user_sampling.", at_least=0)
    items_per_dimension: Optional[float] = setting(
        750.0, "c: with f = items / (c embedding_size), epochs are times f and the rate times sqrt(f / 2), each where "
        "it is not given, f and f / 2 from 1 to 3; None: no rule.", above=0,
    )  # fmt: skip
    eval_step: int = setting(5, "Epochs between validations.", at_least=1)
    stopping_step: int = setting(
        10, "Validations without a gain before stopping; counted once the curriculum has ended.", at_least=0
    )


@settings_group
class WarmStart(Settings):
    """Going on from yesterday's weights on today's data."""

    warm_start: Optional[str] = setting(None, "A student's checkpoint; it and kept teachers go on from their weights.")
    warm_start_epochs: float = setting(0.5, "Share of its epochs that a warm student trains.", above=0, at_most=1)
    warm_start_teacher_epochs: float = setting(0.15, "The same of a warm teacher.", above=0, at_most=1)
    keep_teachers: bool = setting(False, "Whether the store keeps teachers' weights for a warm start.", place=True)


@settings_group
class Run(Settings):
    """Where a run's files go, and what it may use of the machine."""

    result_dir: Optional[str] = setting(None, "Folder of the results; None: results/<dataset>/<run>.", place=True)
    resume: bool = setting(True, "Whether an interrupted run with the same settings goes on where it was.", place=True)
    memory_budget_mb: int = setting(
        256, "MiB for a block of users' scores and lists; no result depends on it.", at_least=16, place=True
    )

    @property
    def score_elements(self) -> int:
        """Scores of a block of users that fit the memory budget."""
        return score_elements(self.memory_budget_mb)

    @property
    def block_elements(self) -> int:
        """Elements of one int64 matrix that fit the memory budget beside a block's others: ``core``'s ``budget``."""
        return block_elements(self.memory_budget_mb)


def from_outside(teacher: str) -> bool:
    """Whether a teacher's name is no RecBole model's: a dotted path, or an imported teacher.

    >>> from_outside("import:llm"), from_outside("mine.Ranker"), from_outside("BPR")
    (True, True, False)
    """
    return "." in teacher or teacher.startswith(IMPORTED)


GROUPS = (Student, Teachers, Consensus, Curriculum, Loss, Training, WarmStart, Run)
"""In the order in which documents list them."""


@settings_group
class HetCompSettings(Student, Teachers, Consensus, Curriculum, Loss, Training, WarmStart, Run):
    """Every setting of a run."""

    def check(self) -> None:
        """Refuse what does not fit together."""
        super().check()
        if self.K_prime < self.K_D:
            raise ValueError(f"K_D={self.K_D} is longer than the stored lists: at most K_prime={self.K_prime}")
        self._check_teachers()

    def _check_teachers(self) -> None:
        if self.fit_weights and self.teacher_weights is not None:
            raise ValueError(f"fit_weights=True is not allowed with teacher_weights={list(self.teacher_weights)}")
        if self.fit_weights and self.fusion == "learned":
            raise ValueError("fit_weights=True is not allowed with fusion='learned', which is fitted itself")
        if not self.teachers:
            raise ValueError("teachers is empty: name at least one")
        if len(set(self.teachers)) < len(self.teachers):
            raise ValueError(f"teachers={list(self.teachers)} names a teacher twice")
        if self.teacher_weights is not None and len(self.teacher_weights) != len(self.teachers):
            raise ValueError(
                f"teacher_weights has {len(self.teacher_weights)} values for {len(self.teachers)} teachers: one each"
            )

    def check_catalogue(self, n_items: int) -> None:
        """Refuse lists longer than the catalogue.

        Args:
            n_items: I, without RecBole's padding item.

        Raises:
            ValueError: names the setting, its value and the largest allowed one.
        """
        for name in ("K", "K_D"):
            if getattr(self, name) > n_items:
                raise ValueError(
                    f"{name}={getattr(self, name)} is larger than the catalogue: at most {n_items}, the number of items"
                )
        if (self.rest_sample_num or 0) >= n_items:
            raise ValueError(
                f"rest_sample_num={self.rest_sample_num} is not less than the {n_items} items: 0 computes R_u exactly"
            )
