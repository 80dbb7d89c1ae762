"""``python run/run_hyper.py --config_files=… --params_file=… --tool=Ray``: RecBole's script, choosing by validation.

Takes RecBole's options and its ``.hyper`` files. ``--tool=Hyperopt`` searches with HyperOpt, under Ray as well.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recbole_hetcomp.cli import run_hyper_main

if __name__ == "__main__":
    sys.exit(run_hyper_main())
