"""All that knows RecBole's inside: registration, Config, identity of runs, checkpoints, loaders, scoring."""

import recbole  # noqa: F401  (first: the plugin's models are registered before one of their modules begins)
