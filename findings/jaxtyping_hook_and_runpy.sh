#!/usr/bin/env bash
# jaxtyping 0.3.11: a package that `runpy` runs while the import hook is installed breaks for every later process.
#
# The hook rewrites source before it is compiled, and keeps what it made apart from Python's own bytecode cache; but only
# where modules are imported. `runpy.run_module` asks the loader for the code itself, so the rewritten code, which looks a
# type checker up in a table of the process that wrote it, is stored as if it were plain. A later `python -m`, without a
# hook and without jaxtyping being imported, loads it and stops with a KeyError before its first line.
# Met in tests that call a command line through runpy under pytest's --jaxtyping-packages; calling its main() is safe.
set -euo pipefail
unset PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jaxtyping==0.3.11 beartype==0.23.1
cd "$folder"
mkdir shop
touch shop/__init__.py
printf 'def main() -> None:\n    print("open")\n\n\nmain()\n' > shop/__main__.py
python="$folder/venv/bin/python"
[ "$("$python" -B -m shop)" = "open" ]
"$python" - <<'END'
import runpy

from jaxtyping import install_import_hook

with install_import_hook("shop", "beartype.beartype"):
    runpy.run_module("shop", run_name="__main__")
END
if said=$("$python" -m shop 2>&1); then
    echo "changed: the later process ran, and printed: $said"
    exit 1
fi
grep -q '^KeyError: ' <<< "$said"
echo "as found: $(tail -1 <<< "$said" | sed 's/[0-9a-f]\{32\}/(a hash)/')"
