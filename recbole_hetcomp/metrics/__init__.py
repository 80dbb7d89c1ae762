"""What lists are worth: RecBole's metrics from lists, metrics from outside, popularity, likeness."""

import recbole  # noqa: F401  (first: the plugin's models are registered before one of their modules begins)
