"""Saved models at work: recommendations by external ids (docs/serving.md)."""

K = 10
"""Items that are recommended where nothing else is said."""

SEEN = ("all", "training")
"""Which items of a user are no candidates: all that the data set has, or those of the training split alone."""
