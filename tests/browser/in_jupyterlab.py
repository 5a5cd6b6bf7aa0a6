"""A pytest plugin: nbval's notebooks are run by a real JupyterLab, each once; nbval compares what that shows.

A notebook's last test is that nothing went wrong on the page and no other host was asked. As a program, it is the
process that holds the browser, since playwright's event loop lets no other run beside it.
"""

import json
import subprocess
import sys
import tempfile
from collections import deque
from importlib.util import find_spec
from pathlib import Path

import driving
import nbformat
import nbval.plugin
import pytest


class Browser:
    """The process that holds JupyterLab and Chromium, started when the first notebook needs it."""

    process: subprocess.Popen | None = None

    def run(self, name: str) -> dict:
        """Run a notebook: the cells with their outputs, what went wrong, and what other hosts were asked for."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
        self.process.stdin.write(json.dumps(name) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the browser in which {name} was to run is gone: its own error is above")
        return json.loads(answer)

    def close(self) -> None:
        """End the process, if it was started."""
        if self.process is not None:
            self.process.communicate()


class Replayed:
    """The kernel that nbval talks to: it answers with what JupyterLab's kernel said."""

    def __init__(self, notebook: nbformat.NotebookNode):
        self.cells = deque(cell for cell in notebook.cells if cell.cell_type == "code")
        self.messages, self.asked = deque(), 0

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        """Find the cell's outputs, and put them where `get_message` takes them from."""
        cell = self.cells.popleft()
        while cell.source != source:  # single cells may have been asked for
            cell = self.cells.popleft()
        self.asked += 1
        outputs = list(cell.outputs)
        if cell.execution_count is None and source.strip():
            why = {"ename": "NotRun", "evalue": "a cell before it failed", "traceback": []}
            outputs.append(nbformat.from_dict({"output_type": "error"} | why))
        for output in outputs:
            self.say(output.output_type, output)
        self.say("status", nbformat.from_dict({"execution_state": "idle"}))
        return str(self.asked)

    def say(self, kind: str, content: nbformat.NotebookNode) -> None:
        """One message, as a kernel would send it."""
        self.messages.append({"msg_type": kind, "content": content, "parent_header": {"msg_id": str(self.asked)}})

    def get_message(self, stream: str, timeout: float | None = None) -> dict:
        """The next message."""
        return self.messages.popleft()

    def is_alive(self) -> bool:
        """What nbval asks before each cell."""
        return True

    def await_reply(self, *_, **__) -> None:
        """What it was to wait for is there."""

    await_idle = stop = await_reply


class Page(pytest.Item):
    """The page on which a notebook was run."""

    def runtest(self) -> None:
        ran = self.parent.ran
        assert ran["troubles"] == []
        assert ran["outside"] == []

    def reportinfo(self):
        return self.path, None, f"{self.path.name}: the page in JupyterLab"


def setup(self) -> None:
    """In place of nbval's, which starts a kernel."""
    self.setup_sanitize_files()
    self.ran = self.config.browser.run(self.path.relative_to(driving.NOTEBOOKS).with_suffix("").as_posix())
    self.kernel = Replayed(nbformat.from_dict(self.ran["notebook"]))


def collect(self):
    """The cells, and then the page."""
    yield from collect_cells(self)
    yield Page.from_parent(self, name="page")


def pytest_configure(config) -> None:
    config.browser = Browser()


def pytest_unconfigure(config) -> None:
    config.browser.close()


def main() -> None:
    """Run the notebooks that are asked for, a line for each; answer with what they showed."""
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        driving.serve("jupyterlab", Path(folder)) as lab,
        sync_playwright() as playwright,
    ):
        chrome = playwright.chromium.launch(executable_path=driving.chromium(), args=driving.QUIET)
        page = chrome.new_page(viewport=driving.SIZE)
        page.set_default_timeout(driving.MINUTE)
        for line in sys.stdin:
            name, outside = json.loads(line), driving.outside_requests(page, lab)
            driving.open_notebook(page, lab, name)
            driving.run_all_cells(page)
            troubles = driving.troubles(page)
            if (picture := page.locator(".jp-RenderedImage")).count():
                picture.first.scroll_into_view_if_needed()
            driving.keep_picture(page, name.replace("/", "_"))
            ran = {"notebook": driving.notebook(page), "troubles": troubles, "outside": outside}
            driving.clear(page)
            print(json.dumps(ran), flush=True)
        chrome.close()


if __name__ == "__main__":
    main()
elif driving.chromium() and find_spec("playwright"):  # elsewhere nbval runs them by a kernel of its own
    collect_cells = nbval.plugin.IPyNbFile.collect
    nbval.plugin.IPyNbFile.setup, nbval.plugin.IPyNbFile.collect = setup, collect
