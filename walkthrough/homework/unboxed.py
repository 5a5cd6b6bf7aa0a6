"""A submission without a box, for machines on which bubblewrap cannot run, and only where the teacher asks for it.

It keeps accidents off, and not intentions: a submission runs as the teacher.
"""

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WORKER = ("-m", "walkthrough.homework.worker")
MARK = "WALKTHROUGH_PLACE"
PROTECTS = (
    "each submission has a process of its own, with the same limits to time, to memory, to processes and to the size of a "
    "file, an empty folder that is removed afterwards, and none of your environment's variables"
)
DOES_NOT_PROTECT = (
    "a submission runs as you: it can read and change every file that you can, the course's secret, other submissions and "
    "the gradebook included, and it can use the network"
)


class Place:
    """An empty folder for one process, which marks all that the process starts; `end` removes both."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="submission-"))
        self.mark = secrets.token_hex(8)

    def start(self, variables: Mapping[str, str]) -> dict[str, Any]:
        """What `subprocess.Popen` needs to start a process here, with no more of an environment than a sandbox has."""
        moved = {name: value.replace("/scratch", str(self.folder)) for name, value in variables.items()}
        return {"cwd": self.folder, "env": moved | {MARK: self.mark, "TMPDIR": str(self.folder)}}

    def processes(self, most: int) -> int:
        """The limit to set, so that this many more may start: outside a box, the system counts all of a user's."""
        mine = 0
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError, ValueError):
                told = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines() if ":" in line)
                mine += int(told["Threads"]) * (int(told["Uid"].split()[0]) == os.getuid())
        return mine + most

    def started(self) -> list[int]:
        """The processes that carry this place's mark, however far they went from the one that started them."""
        marked = []
        for process in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"{MARK}={self.mark}".encode() in process.read_bytes().split(b"\0"):
                    marked.append(int(process.parent.name))
        return marked

    def end(self, leader: int) -> None:
        """End what was started here, the leader's group first, and remove the folder."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
        while marked := self.started():
            for process in marked:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if not any(alive(process) for process in marked):
                break
        shutil.rmtree(self.folder, ignore_errors=True)


def alive(process: int) -> bool:
    """Whether a process still runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
