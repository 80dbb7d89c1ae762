"""``python -m recbole_hetcomp.cli``: the ``hetcomp`` command."""

import sys

from recbole_hetcomp.cli import main

sys.exit(main())
