#!/usr/bin/env bash
# Makes an environment in .venv-test (once), installs the package with its test tools and runs every check.
set -euo pipefail
cd "$(dirname "$0")/.."
source run/environment.sh .venv-test test
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
PATH="$VENV/bin:$PATH" "$VENV/bin/mypy"
"$VENV/bin/python" -m pytest "$@"
