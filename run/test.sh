#!/usr/bin/env bash
# Makes an environment in .venv-test (once), installs the package with its test tools and runs every check,
# tests in TEST_PROCESSES processes (2) of OMP_NUM_THREADS threads (1). Arguments go to pytest.
# STACK=pinned tests RecBole's own pins, in .venv-test-pinned. PYTHON: environment.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source run/environment.sh ".venv-test${STACK:+-$STACK}" test
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
if [ "$STACK" = current ]; then PATH="$VENV/bin:$PATH" "$VENV/bin/mypy"; fi
"$VENV/bin/python" -m pytest --numprocesses "${TEST_PROCESSES:-2}" --dist loadgroup "$@"
