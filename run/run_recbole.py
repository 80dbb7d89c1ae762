"""``python run/run_recbole.py --model=HetComp --dataset=ml-100k``: the run_recbole command from a checkout."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recbole_hetcomp.cli import run_recbole_main

if __name__ == "__main__":
    sys.exit(run_recbole_main())
