"""Models that are taught."""
