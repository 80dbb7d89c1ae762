"""Teachers: the protocol, the pool that trains or finds them, their recorder and ensemble, and models of our own."""

import recbole  # noqa: F401  (first: the plugin's models are registered before one of their modules begins)
