"""A module with a teacher that harms its ensemble, as text."""

NOISE = '''
import torch

class Worst:
    """Ranks against popularity: a teacher that harms."""

    def teach(self, interactions, recorder):
        counts = -interactions.item_counts.float()
        recorder.record_scores(lambda users: counts.expand(len(users), -1))
        return recorder.trajectory()
'''
