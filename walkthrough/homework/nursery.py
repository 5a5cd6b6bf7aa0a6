"""Workers that need not import: forked from a process that has, and moved into a box that bubblewrap made.

A fresh Python takes seconds until torch and TransformerLens are there, and a class of thirty starts it thirty times. The
nursery imports them once, does once what `warming` knows that most submissions do first, and loads the models (`ready`).
For each submission it forks, and the fork joins the namespaces of an empty box (setns, Linux 5.8), gives up every
privilege, and becomes a worker there: what it sees and may do is what bubblewrap lets a fresh one see and do. The
nursery itself runs no line of a submission, and holds nothing but modules as they are after use, and those models.
"""

import contextlib
import ctypes
import gc
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO, NoReturn

SPACES = {"user": 0x10000000, "mnt": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000,
          "uts": 0x4000000, "cgroup": 0x2000000}  # fmt: skip
PACKAGE = Path(__file__).parents[1]
VARIABLES = {  # all of a submission's environment
    "PATH": os.defpath, "HOME": "/scratch", "MPLCONFIGDIR": "/scratch", "IPYTHONDIR": "/scratch",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8", "PYTHONPATH": str(PACKAGE.parent),
}  # fmt: skip
KEPT = ("HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME")  # of the grader's own, while the nursery imports
NO_NEW_PRIVILEGES, DROP_CAPABILITY, AMBIENT, CLEAR_ALL = 38, 24, 47, 4  # prctl's numbers
CAPABILITIES_3 = 0x20080522  # the form in which capset takes them


class Nursery:
    """The process that forks workers; `put` one into a box. It begins when it is first needed, or before, and ends with us."""

    def __init__(self) -> None:
        self.lock, self.control, self.refused = threading.Lock(), None, not hasattr(os, "pidfd_open")
        self.ready = False

    def put(self, box: int, limits: tuple[int, int]) -> tuple[BinaryIO, BinaryIO] | None:
        """A worker in the box that this process is in: where to write requests, and where to read its answers.

        None where the system does not let a process join a box: it is not asked again.
        """
        with self.lock, contextlib.suppress(OSError):
            if self.refused:
                return None
            self.refused = True
            self.begin()
            if not self.ready and self.control.recv(1) != b"r":
                return None
            self.ready = True
            requests, ours_in = os.pipe()
            ours_out, answers = os.pipe()
            handle = os.pidfd_open(box)
            flags = sum(flag for name, flag in SPACES.items() if inode(box, name) != inode(os.getpid(), name))
            socket.send_fds(self.control, [struct.pack("<qqq", flags, *limits)], [handle, requests, answers])
            for descriptor in (handle, requests, answers):
                os.close(descriptor)
            self.refused = self.control.recv(1) != b"y"
            pipes = os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb")
            if not self.refused:
                return pipes
            for pipe in pipes:
                pipe.close()
        return None

    def begin(self) -> None:
        """Start the process, if it is not started; it then imports, with no more of an environment than a submission has."""
        if self.control is not None:
            return
        self.control, theirs = socket.socketpair()
        # While it imports, matplotlib may find what it knows of this machine's fonts: to look for them takes seconds.
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        without = {name: value for name, value in VARIABLES.items() if name not in ("HOME", "MPLCONFIGDIR")}
        program = sealed(os.path.realpath(sys.executable))
        subprocess.Popen(
            [sys.executable, "-m", "walkthrough.homework.nursery", json.dumps(VARIABLES)], stdin=theirs, cwd="/",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=without | kept, start_new_session=True,
            executable=f"/proc/self/fd/{program}", pass_fds=[program],
        )  # fmt: skip
        os.close(program)
        theirs.close()


WORKERS = Nursery()


def sealed(file: str) -> int:
    """A copy of a program in memory that nobody can write to.

    A process's /proc/self/exe leads to the file that it was started from, out of any box that it has joined since.
    """
    import fcntl  # not on every system

    copy = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(file, "rb") as program, open(copy, "wb", closefd=False) as out:
        shutil.copyfileobj(program, out)
    fcntl.fcntl(
        copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    )
    return copy


def inode(process: int, space: str) -> int | None:
    """What tells a process's namespace of this kind from another; None where the system has no such kind."""
    try:
        return os.stat(f"/proc/{process}/ns/{space}").st_ino
    except FileNotFoundError:
        return None


def checked(result: int) -> None:
    """Raise OSError if a call into the C library failed."""
    if result != 0:
        raise OSError(ctypes.get_errno(), "a worker could not be put into its box")


def give_up_privileges(libc: ctypes.CDLL) -> None:
    """No capability is left, and none can come back; raises OSError if one is."""
    checked(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    checked(libc.prctl(AMBIENT, CLEAR_ALL, 0, 0, 0))
    known = 0
    while libc.prctl(DROP_CAPABILITY, known, 0, 0, 0) == 0:  # until the kernel knows no more
        known += 1
    header, none = (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()
    checked(libc.capset(header, none))


def join(
    box: int, flags: int, limits: tuple[int, int], requests: int, answers: int, environment: dict[str, str]
) -> NoReturn:
    """Move this process into the box, and be a worker there; only a child is in the box's process space."""
    libc = ctypes.CDLL(None, use_errno=True)
    checked(libc.setns(box, flags))
    if os.fork():
        os._exit(0)
    os.setsid()  # a signal to one's process group must end with the box
    give_up_privileges(libc)
    os.dup2(requests, 0)
    os.dup2(answers, 1)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/scratch")
    sys.path[0] = "/scratch"
    os.environ.clear()
    os.environ.update(environment)
    import numpy as np

    from walkthrough.homework import ready, worker

    # NumPy's old generator is seeded at import: the forks' would all start alike.
    np.random.seed()  # noqa: NPY002
    ready.hand_out()
    worker.main(*limits)
    os._exit(0)


def main() -> None:
    """Do once what a worker needs, and most submissions, say so, and fork whenever a box and two pipes are sent."""
    from walkthrough.homework.warming import warm

    warm()
    variables = json.loads(sys.argv[1])  # and what packages set for themselves: but torch writes its user's name there
    known = (*variables, *KEPT)
    imported = {n: v for n, v in os.environ.items() if n not in known and not n.startswith("TORCHINDUCTOR")}
    environment = imported | variables
    gc.collect()
    gc.freeze()  # no fork's garbage collector goes through all that was imported, and so copies its memory
    control = socket.socket(fileno=os.dup(0))
    control.sendall(b"r")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 24, 3)
        if not message:
            return
        flags, *limits = struct.unpack("<qqq", message)
        joiner = os.fork()
        if joiner == 0:
            try:
                join(descriptors[0], flags, tuple(limits), *descriptors[1:], environment)
            finally:
                os._exit(1)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(b"y" if os.waitpid(joiner, 0)[1] == 0 else b"n")


if __name__ == "__main__":
    main()
