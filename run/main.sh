#!/usr/bin/env bash
# Makes an environment in .venv (once), installs the package and runs the main job: HetComp on ml-100k.
# Arguments go to run_recbole, e.g. `bash run/main.sh --seed=1 --embedding_size=16`. STACK and PYTHON: environment.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source run/environment.sh .venv all
"$VENV/bin/run_recbole" --model=HetComp --dataset=ml-100k "$@"
