"""Kernels that are forked from a process which has imported the course: their first cell need not wait for torch.

`python warm_kernel.py PLACE` is that process; `python warm_kernel.py PLACE CONNECTION_FILE` is what Jupyter starts in a
kernel's place: it has a kernel forked, hands signals on, and ends when the kernel does. If it is killed, the kernel ends.
"""

import json
import os
import signal
import socket
import sys
import threading


def serve(place: str) -> None:
    """Import once; then fork a kernel for whoever asks at this socket.

    Not matplotlib's inline backend: imported where no kernel is yet, it shows figures as text ever after.
    """
    import ipykernel.kernelapp  # noqa: F401
    import transformer_lens  # noqa: F401

    import walkthrough.exercises.check
    import walkthrough.widgets  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place + ".new")
    listener.listen()
    os.rename(place + ".new", place)
    while True:
        asked, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            be_a_kernel(asked)
        asked.close()


def be_a_kernel(asked: socket.socket) -> None:
    """Take on the folder and the environment of the process that Jupyter started, and run an IPython kernel."""
    from ipykernel.kernelapp import IPKernelApp

    request = json.loads(asked.makefile().readline())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = ""
    asked.sendall(f"{os.getpid()}\n".encode())

    def watch() -> None:
        asked.recv(1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    IPKernelApp.launch_instance(argv=["-f", request["file"]])
    os._exit(0)


def ask(place: str, file: str) -> None:
    """Have a kernel forked, and stand for it."""
    asked = socket.socket(socket.AF_UNIX)
    asked.connect(place)
    environment = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
    request = {"file": file, "folder": os.getcwd(), "environment": environment}
    asked.sendall(json.dumps(request).encode() + b"\n")
    kernel = int(asked.makefile().readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(kernel, number))
    while asked.recv(1):
        pass


if __name__ == "__main__":
    serve(sys.argv[1]) if len(sys.argv) == 2 else ask(*sys.argv[1:])
