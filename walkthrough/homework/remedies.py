"""Why no sandbox can be started here, and what to do about it: one sentence for each of the usual causes."""

import re
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

NEEDED = ("torch", "numpy", "IPython", "matplotlib", "matplotlib_inline", "einops", "jaxtyping", "transformer_lens")
CONTAINER = (
    "inside a container, start the container as the instructor's guide shows (“What isolation is given”), and where you may "
    "not, grade with --without-bubblewrap, whose help says what that does not protect"
)
# What bubblewrap prints, the cause, and the remedy; the first that fits is told.
CAUSES = (
    (r"nknown option", "the installed bubblewrap is too old for the options that the sandbox needs",
     "version 0.7 or newer is needed (`bwrap --version` tells yours; Debian 12 and Ubuntu 24.04 have newer ones)"),
    (r"uid map: Permission denied",
     "this system's AppArmor forbids bubblewrap to make user namespaces, as Ubuntu does since 23.10",
     "the instructor's guide has an AppArmor profile of three lines that allows it to bubblewrap alone; " + CONTAINER),
    (r"RTM_NEWADDR|loopback", "bubblewrap may not set up an empty network here, as in most containers", CONTAINER),
    (r"namespace|unshare|clone|uid map|ns failed|pivot_root|proc on|[Mm]ount",
     "this system lets bubblewrap make no namespaces, as most containers do",
     "outside a container, set the kernel's `kernel.unprivileged_userns_clone` to 1, if it has that; " + CONTAINER),
    (r"ModuleNotFoundError|ImportError|No module named|cannot open shared object",
     "in the sandbox, Python finds its packages no more",
     "install the course into an environment of its own (`python -m venv`), and grade with that environment's Python"),
    (r"[Nn]o space left|[Cc]annot allocate|MemoryError", "this machine has no memory or disk left", "free some, and grade again"),
)  # fmt: skip


def sentence(words: str) -> str:
    """What to tell a teacher whose sandbox did not start and printed these words."""
    said = words.strip().splitlines()[-1].strip()[-200:] if words.strip() else "it said nothing"
    for pattern, cause, remedy in CAUSES:
        if re.search(pattern, words):
            return f"{cause} (“{said}”): {remedy}"
    return f"the sandbox cannot be started (“{said}”): `bwrap --ro-bind / / true` tells whether bubblewrap runs at all"


def out_of_sight(shown: Iterable[str]) -> list[str]:
    """The packages that a submission needs, and that lie outside the folders that the sandbox shows."""
    folders = [Path(folder).resolve() for folder in shown]
    hidden = []
    for name in NEEDED:
        spec = find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin and not any(origin.is_relative_to(folder) for folder in folders):
            hidden.append(name)
    return hidden


def hidden_sentence(hidden: list[str]) -> str:
    """What to tell a teacher whose packages the sandbox does not show."""
    return (
        f"{', '.join(hidden)} cannot be seen from the sandbox, because installed outside of the environment {sys.prefix} "
        "(as by `pip install --user`): install the course into an environment of its own (`python -m venv`), and grade with "
        "that environment's Python"
    )
