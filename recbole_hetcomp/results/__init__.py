"""A run's result: one table and a picture."""
