"""Saved models at work: recommendations by external ids (docs/serving.md)."""
