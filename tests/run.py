"""Every test of the course: unit tests, and nbval over all notebooks. `python tests/run.py` takes pytest's options.

Where the system allows it, the tests run with the network unplugged: nothing but the loopback device, which
Jupyter's kernels talk over, so that anything that would reach outside fails.
"""

import os
import shutil
import subprocess
import sys

UNPLUGGED = ["unshare", "-rn", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]


def main() -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadscope", *sys.argv[1:]]
    can_unplug = shutil.which("unshare") and shutil.which("ip")
    if can_unplug and subprocess.run([*UNPLUGGED, "true"], capture_output=True).returncode == 0:
        command, environment["WALKTHROUGH_UNPLUGGED"] = [*UNPLUGGED, *command], "1"
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    main()
