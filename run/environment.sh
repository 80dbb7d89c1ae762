# Sourced: makes the virtual environment $1 and installs this checkout into it, with the extra $2 if given. Sets VENV.
# STACK is "current" (Python 3.11 to 3.13, today's libraries) or "pinned" (3.9 to 3.11, RecBole's own pins); not given,
# it is the current one where the Python that is found can have it. PYTHON names another Python.
VENV="$1"
EXTRA="${2:-}"

python_is() { "$1" -c "import sys; sys.exit(not ($2 <= sys.version_info[:2] <= $3))" 2>/dev/null; }

if [ ! -x "$VENV/bin/python" ]; then
  case "${STACK:-}" in
    "") OLDEST="(3, 9)" NEWEST="(3, 13)" CANDIDATES="python3.11 python3.12 python3.13 python3.10 python3.9" ;;
    current) OLDEST="(3, 11)" NEWEST="(3, 13)" CANDIDATES="python3.11 python3.12 python3.13" ;;
    pinned) OLDEST="(3, 9)" NEWEST="(3, 11)" CANDIDATES="python3.11 python3.10 python3.9" ;;
    *) echo "STACK=$STACK is not allowed: current or pinned" >&2; exit 1 ;;
  esac
  PYTHON_FOUND=""
  for candidate in "${PYTHON:-python3}" $CANDIDATES; do
    if python_is "$candidate" "$OLDEST" "$NEWEST"; then
      PYTHON_FOUND="$candidate"
      break
    fi
  done
  if [ -z "$PYTHON_FOUND" ]; then
    echo "recbole-hetcomp${STACK:+ (stack $STACK)} needs Python $OLDEST to $NEWEST; none was found." >&2
    echo "Install one, or name it: PYTHON=/path/to/python3.12 bash $0" >&2
    exit 1
  fi
  "$PYTHON_FOUND" -m venv "$VENV"
fi
if [ -z "${STACK:-}" ]; then
  if python_is "$VENV/bin/python" "(3, 11)" "(3, 13)"; then STACK=current; else STACK=pinned; fi
fi
INSTALLED="$VENV/.installed-$STACK-$EXTRA"
if [ ! -e "$INSTALLED" ] || [ setup.py -nt "$INSTALLED" ] || [ requirements/current.txt -nt "$INSTALLED" ]; then
  PIP="$VENV/bin/python -m pip install --quiet"
  if [ "$STACK" = current ]; then
    $PIP -c requirements/current.txt "torch==2.13.0" setuptools wheel
    $PIP -c requirements/current.txt -e ".${EXTRA:+[$EXTRA]}"
    $PIP --no-deps recbole==1.2.1  # beside its own pins
  else
    # A named torch keeps pip from choosing a build by itself; Python 3.9 has none newer than 2.8.
    if python_is "$VENV/bin/python" "(3, 9)" "(3, 9)"; then TORCH="torch==2.8.0"; else TORCH="torch==2.13.0"; fi
    $PIP "$TORCH" "setuptools<81" wheel
    $PIP -e ".[pinned${EXTRA:+,$EXTRA}]"
  fi
  touch "$INSTALLED"
fi
