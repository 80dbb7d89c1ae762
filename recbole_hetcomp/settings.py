"""Every setting of the package, once: type, default, allowed values, meaning (names: docs/method.md).

Settings stand in groups; RecBole's keys are flat, so all of them together are one class, :class:`HetCompSettings`.
Those of the algorithm are in :mod:`recbole_hetcomp.lesson_settings`, what a method has of its own in its file
(``recbole_hetcomp.methods``). ``properties/model/HetComp.yaml`` and ``docs/settings.md`` are written from here
(``hetcomp settings --write``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from recbole_hetcomp.declared import Settings, setting, settings_group
from recbole_hetcomp.lesson_settings import Consensus, Curriculum, Loss
from recbole_hetcomp.memory import block_elements, score_elements

SERVED_LENGTH = 100  # items of a teacher's serving-time list kept at least, for metrics at other cut-offs

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
