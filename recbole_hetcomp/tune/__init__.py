"""Hyperparameter sweeps with Ray Tune: chosen on validation, with one set of teachers for all trials.

Read in this order: ``options`` (how a sweep is run), ``space`` (what is searched), ``sweep_plan``, ``trial`` (what runs
in a worker), ``teachers``, ``sweep``.
"""
