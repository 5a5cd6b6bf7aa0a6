"""A submission in a box: bubblewrap shows it an empty, read-only machine, without network and without the course.

What it sees: the Python that runs this, the package `walkthrough`, the system's programs and libraries, and a scratch
folder in memory. What it does not see: the teacher's files, other submissions, the home folder, other processes.
"""

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from walkthrough.homework import remedies, unboxed, wire
from walkthrough.homework.nursery import PACKAGE, VARIABLES, WORKERS

MEMORY = 6 * 2**30  # bytes of address space: torch alone takes more than two
PROCESSES = 64
SCRATCH = 256 * 2**20  # bytes
FOLDERS = [sys.base_prefix, sys.prefix, str(PACKAGE)]
BUBBLEWRAP = True  # False within `without_bubblewrap`


class Gone(Exception):
    """The process ended, was stopped, or sent what is not an answer; the message says which."""


def box() -> list[str]:
    """The bubblewrap command, without the program that it is to run.

    Raises RuntimeError where it cannot be had, with what to do.
    """
    if shutil.which("bwrap") is None:
        raise RuntimeError(
            "submissions run in bubblewrap, which is not installed: install the system package `bubblewrap` (Linux), "
            "grade in the container that the instructor's guide describes, or see what --without-bubblewrap does not protect"
        )
    box = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    box += ["--proc", "/proc", "--dev", "/dev", "--size", str(SCRATCH), "--tmpfs", "/tmp"]
    for system in ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/fonts", "/etc/localtime"):
        if os.path.islink(system) and os.path.isdir(system):
            box += ["--symlink", os.readlink(system), system]
        else:
            box += ["--ro-bind-try", system, system]
    for folder in dict.fromkeys(FOLDERS):
        box += ["--ro-bind", folder, folder]
    for name, value in VARIABLES.items():
        box += ["--setenv", name, value]
    return [*box, "--size", str(SCRATCH), "--tmpfs", "/scratch", "--chdir", "/scratch", "--remount-ro", "/"]


@contextlib.contextmanager
def without_bubblewrap() -> Iterator[None]:
    """Within it, sandboxes are plain processes: see `unboxed.PROTECTS` for what that keeps off, and what not."""
    global BUBBLEWRAP
    before, BUBBLEWRAP = BUBBLEWRAP, False
    try:
        yield
    finally:
        BUBBLEWRAP = before


def check() -> None:
    """Start a sandbox, let it answer, and close it. Raises RuntimeError with the cause and its remedy if that fails."""
    hidden = remedies.out_of_sight(["/usr", *FOLDERS]) if BUBBLEWRAP else []
    if hidden:
        raise RuntimeError(remedies.hidden_sentence(hidden))
    started = Sandbox()
    try:
        started.ask({"cell": "1"}, 120.0)
    except Gone as gone:
        raise RuntimeError(remedies.sentence(str(gone))) from gone
    finally:
        started.close()


class Sandbox:
    """A process of its own for one submission; `ask` it, and `close` it. Raises RuntimeError if it does not start."""

    def __init__(self, start_seconds: float = 120.0):
        self.place = None if BUBBLEWRAP else unboxed.Place()
        if self.place:
            limits = [str(MEMORY), str(self.place.processes(PROCESSES))]
            self._open([sys.executable, *unboxed.WORKER, *limits], **self.place.start(VARIABLES))
            self.requests, self.answers = self.process.stdin, self.process.stdout
        elif not self._fork():
            program = [sys.executable, "-m", "walkthrough.homework.worker", str(MEMORY), str(PROCESSES)]
            self._open([*box(), *program])
            self.requests, self.answers = self.process.stdin, self.process.stdout
        try:
            self._within(start_seconds, lambda: wire.read(self.answers))
        except Gone as gone:
            said = self.process.stderr.read().decode(errors="replace").strip()
            raise RuntimeError(remedies.sentence(said or str(gone))) from gone

    def _open(self, command: list[str], **kwargs: Any) -> None:
        """Start bubblewrap."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(command, **pipes, start_new_session=True, **kwargs)

    def _fork(self) -> bool:
        """Whether an empty box could be had, and a worker from the nursery for it."""
        if WORKERS.refused:
            return False
        told, tells = os.pipe()
        idle = ["/bin/sh", "-c", "echo; read line"]  # keeps the box, and says when it is there
        with open(told, encoding="utf-8") as report:
            self._open([*box(), "--info-fd", str(tells), *idle], pass_fds=[tells])
            os.close(tells)
            if self.process.stdout.readline() == b"\n":
                inside = json.load(report)["child-pid"]
                if pipes := WORKERS.put(inside, (MEMORY, PROCESSES)):
                    self.requests, self.answers = pipes
                    return True
        self.process.kill()
        self.process.communicate()
        return False

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The worker's answer to a request. Raises Gone if there is none in time; the process is then dead.

        `seconds` are the clock's. What a request has of processor time, `computing`, the worker is ended for.
        """

        def exchange() -> dict[str, Any]:
            """The request there, the answer back."""
            wire.write(self.requests, request, ours=True)
            reply = wire.read(self.answers)
            if not isinstance(reply, dict):
                raise ValueError("no answer in the agreed form")
            return reply

        return self._within(seconds, exchange, request.get("computing", math.inf))

    def _within(self, seconds: float, exchange: Any, computing: float = math.inf) -> Any:
        late, begin = threading.Event(), time.monotonic()

        def stop() -> None:
            """End the process, and remember why."""
            late.set()
            self.process.kill()

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            return exchange()
        except (OSError, EOFError, ValueError) as error:
            self.close()
            if late.is_set():
                raise Gone(f"no end after {seconds:g} seconds: is there an endless loop?") from error
            if isinstance(error, ValueError):
                raise Gone(f"what came back is not an answer ({error})") from error
            if time.monotonic() - begin >= computing:
                raise Gone(f"no end after {computing:g} seconds of computing: is there an endless loop?") from error
            raise Gone("Python was ended from inside: by os._exit, by a crash, or by recursion without end") from error
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the process and everything it started."""
        if self.place:
            self.place.end(self.process.pid)
        self.process.kill()
        self.process.wait()
        for stream in (self.requests, self.answers, self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
