"""Which model is shipped: what it costs, whether it is good enough, which one to choose. Contents:

===========  =======================================================================
saved        a saved student with its data, and its teachers from the store
profile      teachers, ensemble and student timed side by side, in one run
gate         whether a student keeps enough, is fast, small and exported as it is
parity       whether an export's lists are the model's
cost         bytes and milliseconds of any model, measured alike
leaderboard  every model that was trained on a data set
selection    the best student within a budget of bytes and milliseconds
pareto       what no other model beats, and the picture of it
===========  =======================================================================
"""

from recbole_hetcomp.serving import K

__all__ = ["BACKBONES", "BATCH", "DIMENSIONS", "REPEATS", "THREADS", "USERS", "K"]

BATCH, USERS, REPEATS, THREADS = 256, 200, 5, 1
"""Of what is timed: users of a batch, users served one by one, turns, threads of torch on a CPU."""

DIMENSIONS, BACKBONES = (4, 6, 8, 12, 16, 24, 32), ("BPR",)
"""Sizes and backbones of students among which a selection chooses."""

RESULTS = "results"
"""Folder below which runs write their results where nothing else is said."""
