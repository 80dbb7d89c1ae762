"""All that knows RecBole's inside: registration, Config, identity of runs, checkpoints, loaders, scoring."""

from recbole_hetcomp.extras import RECBOLE, MissingPackageError

try:
    import recbole  # noqa: F401  (first: the plugin's models are registered before one of their modules begins)
except ModuleNotFoundError as error:
    if error.name != "recbole":
        raise
    raise MissingPackageError(RECBOLE, name="recbole") from error
