"""A run's result: one table and a picture."""

import recbole  # noqa: F401  (first: the plugin's models are registered before one of their modules begins)
