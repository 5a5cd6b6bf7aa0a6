"""The process in which a submission runs: it answers requests to run a cell, to look a name up, to call a function.

`python -m walkthrough.homework.worker`, started by `sandbox`, or a fork of the `nursery`. It holds no test, no answer and no mark: whatever a
submission does to it can only spoil that submission's own answers.
"""

import io
import os
import resource
import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from walkthrough.homework import wire

MOST_TEXT = 20_000  # characters kept of what one cell prints
MOST_IMAGE = 2 * 2**20  # characters of one picture (base64)


class TooMuchOutput(Exception):
    """Raised in a cell that prints without end."""


class Bounded(io.StringIO):
    """What a cell prints, up to a limit; printing on and on ends the cell."""

    def write(self, text: str) -> int:
        """Keep what fits; raise TooMuchOutput at ten times the limit."""
        if self.tell() < MOST_TEXT:
            super().write(text[: MOST_TEXT - self.tell()])
        self.asked = getattr(self, "asked", 0) + len(text)
        if self.asked > 10 * MOST_TEXT:
            raise TooMuchOutput(f"this cell printed more than {10 * MOST_TEXT:,} characters, and was stopped")
        return len(text)


def limit(memory: int, processes: int) -> None:
    """No more than these bytes of address space and these processes; no core file, and files of at most 100 MB."""
    for what, most in (
        (resource.RLIMIT_AS, memory), (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 100 * 2**20),
    ):  # fmt: skip
        resource.setrlimit(what, (most, most))


def new_shell() -> InteractiveShell:
    """IPython without colours or history, which keeps errors to be shown in the notebook."""
    config = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
    return InteractiveShell.instance(config=config)


def run_cell(shell: InteractiveShell, source: str) -> list[dict[str, Any]]:
    """Run a cell as a kernel would; its outputs in the form that notebooks store."""
    errors: list[dict[str, Any]] = []
    shell._showtraceback = lambda kind, error, lines: errors.append(  # what ipykernel overrides, too
        {"output_type": "error", "ename": kind.__name__, "evalue": str(error)[:500], "traceback": [str(x)[:MOST_TEXT] for x in lines]}
    )  # fmt: skip
    out, err = Bounded(), Bounded()
    with capture_output(stdout=False, stderr=False) as shown:
        sys.stdout, sys.stderr = out, err
        try:
            shell.run_cell(source, store_history=False)
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    streams = [
        {"output_type": "stream", "name": name, "text": stream.getvalue()}
        for name, stream in (("stdout", out), ("stderr", err)) if stream.getvalue()
    ]  # fmt: skip
    pictures = [
        {"output_type": "display_data", "data": dict(rich.data), "metadata": {}}
        for rich in shown.outputs if len(repr(rich.data)) < MOST_IMAGE
    ]  # fmt: skip
    return streams + pictures + errors


def answer(shell: InteractiveShell, request: dict[str, Any]) -> dict[str, Any]:
    """What a request asks for, or the error that it met; never an exception of the submission's."""
    try:
        if "cell" in request:
            return {"outputs": run_cell(shell, request["cell"])}
        name = request.get("call") or request["name"]
        if name not in shell.user_ns:
            return {"missing": name}
        found = shell.user_ns[name]
        if "call" in request:
            return {"value": found(*request["inputs"])}
        return {"callable": True} if callable(found) else {"value": found}
    except BaseException as error:  # SystemExit and KeyboardInterrupt are answers, too
        return {"error": type(error).__name__, "message": str(error)[:500]}


def main(memory: int, processes: int) -> None:
    """Answer requests until there are no more; the submission's own input and output are elsewhere."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    shell = new_shell()
    limit(memory, processes)
    wire.write(answers, {"ready": True})
    while True:
        try:
            request = wire.read(requests, ours=True)
        except EOFError:
            return
        with capture_output():
            reply = answer(shell, request)
            try:
                message = wire.pack(reply)
            except Exception as error:
                message = wire.pack({"error": type(error).__name__, "message": str(error)[:500]})
        wire.send(answers, message)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
