"""The tests of the course, by one command that takes no settings from the machine.

`python tests/run.py` runs all: unit tests, and every notebook, its outputs compared with those that are stored. `quick`
runs what answers in a minute or two: unit tests that start no other program. `benchmarks` measures, one after the other;
`benchmarks --short` shows that they work. `newest` is all, where other versions are installed than the pinned ones. With other options, pytest runs once, with those. Where the system allows it,
the tests run with the network unplugged: nothing but the loopback device, which Jupyter's kernels talk over.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent
UNPLUGGED = ["unshare", "-rn", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
BENCHMARKS = str(TESTS / "benchmarks")
IN_JUPYTERLAB = ["-p", "in_jupyterlab"]
SHARED = ["--dist", "loadscope", "--no-loadscope-reorder", "-p", "sharing", "--ignore", BENCHMARKS]
# What is true of the pinned versions alone; 06 measures a model on the text of packages, torch and transformers among them.
MEASURED = (17, 19, 20, 21, 22, 24, 29, 30, 32, 33, 35, 36, 54, 56, 57, 58)
PINNED = [
    "tests/test_environment.py::test_what_is_installed_here_is_what_is_pinned",
    *(f"notebooks/06_bugs_and_their_cost.ipynb::Cell {cell}" for cell in MEASURED),
]
# What else a machine may have set: colours, widths, languages, profiles, other people's modules and options.
SETTINGS = re.compile(
    r"(PYTHON|PYTEST_|IPYTHON|JUPYTER_|MPL|MATPLOTLIB|LC_|LANG|ACCELERATE_|HF_|TRANSFORMERS_|TRANSFORMERLENS_|TORCH"
    r"|COLUMNS$|LINES$|FORCE_COLOR$|NO_COLOR$|CLICOLOR)"
)


def environment(folder: Path) -> dict[str, str]:
    """This machine's environment without its settings; what Jupyter, IPython and matplotlib keep goes to the folder."""
    (folder / "matplotlibrc").touch()
    kept = {name: value for name, value in os.environ.items() if not SETTINGS.match(name)}
    places = {name: str(folder / name.lower()) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MATPLOTLIBRC": str(folder / "matplotlibrc")}
    return kept | places | own | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS / "browser")])}


def options(arguments: list[str]) -> list[str]:
    """What pytest is told."""
    workers = ["-n", str(max(2, min(4, os.cpu_count() or 2)))]
    match arguments:
        case []:
            return [*workers, *SHARED, *IN_JUPYTERLAB]
        case ["quick", *more]:
            return [*workers, *SHARED, "-p", "quick", str(TESTS), *more]
        case ["newest", *more]:
            return [*workers, *SHARED, *IN_JUPYTERLAB, *(f"--deselect={name}" for name in PINNED), *more]
        case ["benchmarks", *more]:
            return ["-n", "0", "-s", BENCHMARKS, *more]
    return arguments


def unpack_released() -> None:
    """Where SmolLM2 is installed, unpack it before the tests: in a notebook's outputs, its progress bar would be one too many."""
    code = (
        "from walkthrough.beyond import released_store\ntry: released_store.unpacked_smollm2()\nexcept ValueError: pass"
    )
    subprocess.run([sys.executable, "-c", code], check=False)


def main() -> int:
    command = [sys.executable, "-m", "pytest", *options(sys.argv[1:])]
    unpack_released()
    with tempfile.TemporaryDirectory() as folder:
        variables = environment(Path(folder))
        can_unplug = shutil.which("unshare") and shutil.which("ip")
        if can_unplug and subprocess.run([*UNPLUGGED, "true"], capture_output=True, check=False).returncode == 0:
            command, variables["WALKTHROUGH_UNPLUGGED"] = [*UNPLUGGED, *command], "1"
        return subprocess.run(command, env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
