# Sourced: makes the virtual environment $1 with the first suitable Python and installs this checkout into it,
# with the extra $2 if given. Sets VENV.
VENV="$1"
EXTRA="${2:+[$2]}"
if [ ! -x "$VENV/bin/python" ]; then
  PYTHON_FOUND=""
  for candidate in "${PYTHON:-python3}" python3.11 python3.10 python3.9; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null; then
      PYTHON_FOUND="$candidate"
      break
    fi
  done
  if [ -z "$PYTHON_FOUND" ]; then
    echo "recbole-hetcomp needs Python 3.9, 3.10 or 3.11 (RecBole 1.2.1 requires Ray <= 2.6.3); none was found." >&2
    echo "Install one, or name it: PYTHON=/path/to/python3.11 bash $0" >&2
    exit 1
  fi
  "$PYTHON_FOUND" -m venv "$VENV"
fi
if [ ! -e "$VENV/.installed$EXTRA" ] || [ setup.py -nt "$VENV/.installed$EXTRA" ]; then
  # A named torch keeps pip from choosing a build by itself; Python 3.9 has none newer than 2.8.
  TORCH="$("$VENV/bin/python" -c 'import sys; print("torch==2.13.0" if sys.version_info >= (3, 10) else "torch==2.8.0")')"
  "$VENV/bin/python" -m pip install --quiet "$TORCH" "setuptools<81" wheel
  "$VENV/bin/python" -m pip install --quiet -e ".$EXTRA"
  touch "$VENV/.installed$EXTRA"
fi
