"""All that knows RecBole's inside: registration, Config, identity of runs, checkpoints, loaders, scoring."""
