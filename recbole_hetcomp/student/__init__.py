"""The student: a RecBole model of any backbone, its objective, its trainer."""

import recbole  # noqa: F401  (first: the plugin's models are registered before one of their modules begins)
