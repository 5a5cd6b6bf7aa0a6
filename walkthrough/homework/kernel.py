"""IPython's own kernel without sockets: a cell runs as in JupyterLab, where nobody types and no window can open.

What would stop a cell for want of a window, of a package manager or of an extension is noted, and the cell goes on.
"""

import asyncio
import builtins
import contextlib
import getpass
import os
import sys
from types import TracebackType
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from IPython.core.error import StdinNotImplementedError
from traitlets.config import Config

from walkthrough.homework.shown import Shown, Stream
from walkthrough.homework.standing import Standing
from walkthrough.homework.stops import facts, without

DEEPEST = 12  # lines of a traceback that are shown; to lay out a thousand takes a minute
FORGIVEN = ("matplotlib", "pylab", "gui", "load_ext", "reload_ext", "pip", "uv", "conda", "mamba", "micromamba")
PIP = {"PIP_RETRIES": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}  # there is no network to wait for


class Kernel:
    """A kernel of which cells and functions are asked; `shell` is what `get_ipython()` returns in it."""

    def __init__(self) -> None:
        self.shown, self.notes = Shown(key=b""), []
        self.lost: dict[
            str, str
        ] = {}  # names that imports of packages that are not here would have brought, and the package
        self.shown.fresh(keep=False)
        sys.stdout, sys.stderr = Stream("stdout", self.shown), Stream("stderr", self.shown)
        os.environ.update(PIP)
        config = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        app = IPKernelApp.instance()  # where IPython looks for its kernel
        app.kernel = IPythonKernel(session=self.shown, config=config)
        self.shell = app.kernel.shell
        self.shell._format_exception_for_storage = lambda *args, **kwargs: []  # the history, which nobody keeps here
        self.standing = Standing(self.shell.user_ns)
        builtins.input = getpass.getpass = nobody_types
        for name in FORGIVEN:
            if magic := self.shell.find_line_magic(name):
                self.shell.register_magic_function(self.forgiving(name, magic), "line", name)
        with contextlib.suppress(ImportError):
            self.stay_inline()

    def forgiving(self, name: str, magic: Any) -> Any:
        """A line magic that says what it cannot do here, and stops nothing."""

        def forgiven(line: str) -> Any:
            """The magic, if it can be done here."""
            try:
                return magic(line)
            except Exception as error:
                self.note("magic", f"%{name} {line}".strip(), error)
                if name in ("matplotlib", "pylab"):
                    self.shell.pylab_gui_select = None
                    self.shell.enable_matplotlib("inline")

        forgiven.__doc__ = magic.__doc__
        return forgiven

    def stay_inline(self) -> None:
        """Whoever asks matplotlib for a window gets figures in the notebook."""
        import matplotlib
        from matplotlib import pyplot
        from matplotlib_inline.backend_inline import configure_inline_support

        switch, inline = pyplot.switch_backend, "module://matplotlib_inline.backend_inline"

        def switched(newbackend: str) -> None:
            """As pyplot's own; what cannot be had is replaced."""
            try:
                switch(newbackend)
            except ImportError as error:
                self.note("window", str(newbackend), error)
                matplotlib.rcParams["backend"] = inline
                switch(inline)
                configure_inline_support(self.shell, inline)

        pyplot.switch_backend = switched

    def note(self, kind: str, what: str, error: Exception) -> None:
        """Remember what could not be done, and say it where the cell prints."""
        self.notes.append([kind, what[:80]])
        print(f"{what}: {error} (this is left out when homework is marked)", file=sys.stderr)

    def run(self, source: str) -> dict[str, Any]:
        """Run a cell: its outputs, what it noted, and what stopped it.

        A missing package, or an unknown magic, costs its own line and those that use it, and not the lines below.
        """
        outputs, self.notes = self.shown.fresh(keep=True), []
        while True:
            text, error = self.once(source)
            rest = without(source, text, error, self.shell.user_ns, self.lost)
            if rest is None:
                break
            source, kind, what = rest
            self.notes.append([kind, what[:80]])
        self.shown.keep = False
        stopped = error and facts(error, self.shell.user_ns, self.lost)
        return {"outputs": outputs, "notes": self.notes, "stopped": stopped}

    def once(self, source: str) -> tuple[str, BaseException | None]:
        """The cell as Python, and the error that ended it."""
        text, untold = source, None
        try:
            text = self.shell.transform_cell(source)
        except Exception:
            untold = sys.exc_info()
        try:
            result = self.loop.run_until_complete(self.finish(source, text, untold))
        except BaseException as error:  # of a task in the background, too
            self.shell.showtraceback()
            return text, error
        return text, result.error_before_exec or result.error_in_exec

    async def finish(self, source: str, text: str, untold: Any) -> Any:
        """Run a cell and what is done behind every one: its figures are shown."""
        self.shell.set_custom_exc((Exception,), briefly)  # IPython drops it when an error cannot be shown
        run = self.shell.run_cell_async
        result = await run(source, store_history=True, transformed_cell=text, preprocessing_exc_tuple=untold)
        self.shell.events.trigger("post_execute")
        self.shell.events.trigger("post_run_cell", result)
        return result


def nobody_types(prompt: object = "", *args: Any, **kwargs: Any) -> str:
    """What `input` and `getpass` are while homework is marked."""
    raise StdinNotImplementedError("input() waits for somebody to type, and nobody is there when homework is marked")


def briefly(shell: Any, kind: type, error: BaseException, trace: TracebackType, tb_offset: int | None = None) -> None:
    """Show an error with the ends of its traceback, if that is long."""
    seen = error
    for _ in range(10):
        if seen is None:
            break
        if seen.__traceback__ is not None:
            shorten(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)


def shorten(trace: TracebackType) -> None:
    """Leave out the middle of a long traceback."""
    lines = [trace]
    while lines[-1].tb_next is not None:
        lines.append(lines[-1].tb_next)
    if len(lines) > DEEPEST:
        lines[DEEPEST // 2].tb_next = lines[-DEEPEST // 2]
