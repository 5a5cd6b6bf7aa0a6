"""The process in which a submission runs: it answers requests to run a cell, to look a name up, to call a function.

`python -m walkthrough.homework.worker`, started by `sandbox`, or a fork of the `nursery`. It holds no test, no answer and no mark: whatever a
submission does to it can only spoil that submission's own answers.
"""

import contextlib
import math
import os
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

from walkthrough.homework import wire
from walkthrough.homework.kernel import Kernel
from walkthrough.homework.stops import facts


def limit(memory: int, processes: int) -> None:
    """No more than these bytes of address space and these processes; no core file, and files of at most 100 MB."""
    for what, most in (
        (resource.RLIMIT_AS, memory), (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 100 * 2**20),
    ):  # fmt: skip
        resource.setrlimit(what, (most, most))


@contextlib.contextmanager
def computing(seconds: float) -> Iterator[None]:
    """Within it, this process may use so many seconds of processor time, and then the system ends it.

    A submission can take this limit back: the grader's clock is the one that it cannot.
    """
    before = resource.getrlimit(resource.RLIMIT_CPU)
    most = math.ceil(time.process_time() + seconds)
    resource.setrlimit(
        resource.RLIMIT_CPU, (most if before[1] == resource.RLIM_INFINITY else min(most, before[1]), before[1])
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, before)


def answer(kernel: Kernel, request: dict[str, Any]) -> dict[str, Any]:
    """What a request asks for, or the error that it met; never an exception of the submission's."""
    names = kernel.shell.user_ns
    kernel.shown.fresh(keep=False)
    try:
        if "cell" in request:
            return kernel.run(request["cell"])
        if "keep" in request:
            kernel.standing.keep(request["keep"])
            return {}
        if "replaced" in request:
            return {"replaced": kernel.standing.replaced(request["replaced"], request["at"], request["than"])}
        with kernel.standing.back(request.get("at")):
            name = request.get("call") or request["name"]
            if name not in names:
                return {"missing": name, "package": kernel.lost.get(name, "")}
            found = names[name]
            if "call" in request:
                return {"value": found(*request["inputs"])}
            return {"callable": True} if callable(found) else {"value": found}
    except BaseException as error:  # SystemExit and KeyboardInterrupt are answers, too
        return facts(error, names, kernel.lost)


def main(memory: int, processes: int) -> None:
    """Answer requests until there are no more; the submission's own input and output are elsewhere."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    kernel = Kernel()
    limit(memory, processes)
    wire.write(answers, {"ready": True})
    while True:
        try:
            request = wire.read(requests, ours=True)
        except EOFError:
            return
        with computing(request["computing"]) if "computing" in request else contextlib.nullcontext():
            reply = answer(kernel, request)
        try:
            message = wire.pack(reply)
        except Exception as error:
            message = wire.pack({"form": str(error)[:200]})
        wire.send(answers, message)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
