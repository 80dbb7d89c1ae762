"""Searchers and schedulers of Ray Tune, as a sweep's options name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_hetcomp.extras import require
from recbole_hetcomp.tune.options import SweepOptions
from recbole_hetcomp.tune.space import Space, domains, grid_points, random_points

TIME = "epoch"
RUNGS = 3  # at which ASHA decides by default, the first after 1/3^3 of the epochs
PERTURBATIONS = 10  # of population-based training over all epochs


def known_points(space: Space, options: SweepOptions, seed: int) -> list[dict[str, Any]] | None:
    """The points of a random or grid search, which are all drawn beforehand; None where results decide on them."""
    if options.search == "random":
        return random_points(space, options.num_samples, seed)
    return grid_points(space) if options.search == "grid" else None


def searcher(space: Space, options: SweepOptions, seed: int, mode: str, metric: str) -> Any:
    """Ray's search algorithm.

    Raises:
        MissingPackageError: the searcher is not installed; names the extra that has it.
    """
    points = known_points(space, options, seed)
    if points is not None:
        from ray.tune.search.basic_variant import BasicVariantGenerator

        return BasicVariantGenerator(points_to_evaluate=points, max_concurrent=options.max_concurrent or 0)
    found: Any
    require(f"search={options.search}", options.search)
    if options.search == "optuna":
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        sampler = optuna.samplers.TPESampler(seed=seed)
        found = OptunaSearch(space=domains(space), metric=metric, mode=mode, sampler=sampler)
    else:
        from ray.tune.search.hyperopt import HyperOptSearch

        found = HyperOptSearch(space=domains(space), metric=metric, mode=mode, random_state_seed=seed)
    if options.max_concurrent is None:
        return found
    from ray.tune.search import ConcurrencyLimiter

    return ConcurrencyLimiter(found, max_concurrent=options.max_concurrent)


def scheduler(space: Space, options: SweepOptions, epochs: int, eval_step: int) -> Any:
    """Ray's trial scheduler, or None for all trials to their end.

    Args:
        space: the search space.
        options: the sweep's.
        epochs: epochs of a trial at most.
        eval_step: epochs between validations.
    """
    from ray.tune import schedulers

    if options.scheduler == "none":
        return None
    grace = options.grace_epochs or max(eval_step, epochs // round(options.reduction_factor**RUNGS))
    grace = min(grace, epochs)
    if options.scheduler == "asha":
        return schedulers.ASHAScheduler(
            time_attr=TIME,
            max_t=epochs + 1,  # trials end by themselves; Ray's stop would cut the last report off
            grace_period=grace,
            reduction_factor=options.reduction_factor,
        )
    if options.scheduler == "median":
        return schedulers.MedianStoppingRule(time_attr=TIME, grace_period=grace, min_samples_required=3)
    return schedulers.PopulationBasedTraining(
        time_attr=TIME,
        perturbation_interval=max(eval_step, epochs // PERTURBATIONS),
        hyperparam_mutations=_mutations(space),
        custom_explore_fn=_Bounded(space),
    )


def _mutations(space: Space) -> dict[str, Any]:
    """What population-based training may change while a model trains.

    Raises:
        ValueError: nothing.
    """
    mutable = {parameter.name: parameter.domain() for parameter in space if parameter.mutable}
    if not mutable:
        raise ValueError(
            "scheduler=pbt changes settings while a model trains, and no parameter of the space may be: mark some, "
            "e.g. learning_rate: {loguniform: [1e-3, 1e-1], mutable: True}"
        )
    return mutable


class _Bounded:
    """Keeps what population-based training makes of a point within the space."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def __call__(self, point: Mapping[str, Any]) -> dict[str, Any]:
        bounded = {parameter.name: parameter.clip(point[parameter.name]) for parameter in self.space}
        return {**point, **bounded}
