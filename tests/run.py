"""Every test of the course: unit tests, and nbval over all notebooks.

`python tests/run.py` runs them all; `python tests/run.py benchmarks` runs the benchmarks, one after the other; with other
options, it runs pytest once, with those. Where the system allows it, the
tests run with the network unplugged: nothing but the loopback device, which Jupyter's kernels talk over.
"""

import os
import shutil
import subprocess
import sys

UNPLUGGED = ["unshare", "-rn", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
BENCHMARKS = "tests/benchmarks"


def main() -> int:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "pytest"]
    can_unplug = shutil.which("unshare") and shutil.which("ip")
    if can_unplug and subprocess.run([*UNPLUGGED, "true"], capture_output=True).returncode == 0:
        command, environment["WALKTHROUGH_UNPLUGGED"] = [*UNPLUGGED, *command], "1"
    everything = ["-n", "2", "--dist", "loadscope", "--no-loadscope-reorder", "--ignore", BENCHMARKS]
    named = {(): everything, ("benchmarks",): ["-n", "0", "-s", BENCHMARKS]}
    options = named.get(tuple(sys.argv[1:]), sys.argv[1:])
    return subprocess.run([*command, *options], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
