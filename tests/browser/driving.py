"""How the browser tests drive JupyterLab, Notebook 7 and static pages."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
AT_HOME = ("file:", "data:", "blob:", "about:", "chrome")
MINUTE = 60_000
SIZE = {"width": 1400, "height": 1000}
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
NO_CHROMIUM = "browser tests need Chromium: apt-get install chromium, or its path in WALKTHROUGH_CHROMIUM"


def chromium() -> str | None:
    """The path of Chromium; None where there is none."""
    return os.environ.get("WALKTHROUGH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@dataclass(frozen=True)
class Server:
    """A running Jupyter server; `app` is the path under which it opens notebooks, "lab" or "notebooks"."""

    url: str
    root: Path
    app: str

    def write(self, name: str, *sources: str) -> str:
        """Make a notebook of these code cells in the server's root; its name."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.root / f"{name}.ipynb")
        return name

    def read(self, name: str) -> nbformat.NotebookNode:
        """The notebook as it is on disk."""
        return nbformat.read(self.root / f"{name}.ipynb", 4)


@contextmanager
def serve(module: str, folder: Path):
    """Start `python -m jupyterlab` or `python -m notebook` on a copy of the course's notebooks in an empty folder.

    Settings, trust and runtime files stay in the folder, so that neither the developer's own count nor are they changed.
    """
    root = folder / "root"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    own = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    # Lab would ask whether it may fetch news, in a box that covers a corner of the page.
    no_news = folder / "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    no_news.parent.mkdir(parents=True)
    no_news.write_text('{"fetchNews": "false", "checkForUpdates": false}', encoding="utf-8")
    own |= {"IPYTHONDIR": str(folder / "ipython"), "OMP_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "0"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program, app = {"jupyterlab": ("LabApp", "lab"), "notebook": ("JupyterNotebookApp", "notebooks")}[module]
    log = (folder / "server.log").open("w", encoding="utf-8")
    warm = warm_kernels(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--no-browser", "--allow-root", f"--ServerApp.port={port}",
         "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", "--IdentityProvider.token=t",
         f"--ServerApp.root_dir={root}", "--LabApp.extension_manager=readonly", "--LabApp.news_url=",
         f"--{program}.expose_app_in_browser=True"],
        env=os.environ | own, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_the_server(process, url, folder / "server.log")
        yield Server(url, root, app)
    finally:
        process.terminate()
        process.wait(60)
        warm.terminate()
        log.close()


def warm_kernels(folder: Path) -> subprocess.Popen:
    """The process that this server's kernels are forked from, and the kernelspec that says so."""
    program, place = str(Path(__file__).with_name("warm_kernel.py")), str(folder / "kernels.socket")
    spec = folder / "data" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, program, place, "{connection_file}"]
    name = {"display_name": "Python 3", "language": "python", "metadata": {"debugger": True}}
    spec.write_text(json.dumps({"argv": argv} | name), encoding="utf-8")
    variables = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    log = (folder / "kernels.log").open("w", encoding="utf-8")
    process = subprocess.Popen([sys.executable, program, place], env=os.environ | variables, stdout=log, stderr=log)
    for _ in range(1200):
        if Path(place).exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    return process


def wait_for_the_server(process: subprocess.Popen, url: str, log: Path):
    for _ in range(600):
        try:
            return urllib.request.urlopen(f"{url}/api/status?token=t", timeout=2).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError(f"Jupyter did not start:\n{log.read_text(encoding='utf-8')[-3000:]}")


def open_notebook(page, server: Server, name: str) -> None:
    """Open a notebook, by its path without .ipynb, and wait until its kernel rests; from then on it is listened to.

    A page that shows this server's JupyterLab already opens it there, which spares the seconds that Lab takes to load.
    """
    if server.app == "lab" and page.url.startswith(server.url):
        page.evaluate("path => void jupyterapp.commands.execute('docmanager:open', {path})", f"{name}.ipynb")
    else:
        page.goto(f"{server.url}/{server.app}/{'tree/' * (server.app == 'lab')}{name}.ipynb?token=t&reset")
    # A new kernel calls itself idle before it can be asked anything: the session must be ready, too.
    page.wait_for_function("""path => {
        const panel = window.jupyterapp?.shell.currentWidget, session = panel?.sessionContext
        return panel?.context?.path === path && panel.context.isReady && session.isReady
            && session.session?.kernel?.status === 'idle'
    }""", arg=f"{name}.ipynb", timeout=2 * MINUTE)  # fmt: skip
    page.evaluate("""() => {
        window.heard = []
        jupyterapp.shell.currentWidget.sessionContext.iopubMessage.connect((_, {header, content}) => {
            if (header.msg_type === 'error') heard.push(content.ename + ': ' + content.evalue)
            if (header.msg_type === 'stream' && content.name === 'stderr') heard.push(content.text)
        })
    }""")


def start_all_cells(page) -> None:
    """Run all cells, as the menu does, and do not wait."""
    page.evaluate("""() => {
        const end = () => { window.rested = true }
        window.rested = false
        jupyterapp.commands.execute('notebook:run-all-cells').then(end, end)
    }""")


def wait_for_all_cells(page) -> None:
    """Wait until the last cell has run, or one has failed."""
    page.wait_for_function("window.rested", timeout=10 * MINUTE)


def run_all_cells(page) -> None:
    """Run all cells, and wait until the last one has run, or one has failed."""
    start_all_cells(page)
    wait_for_all_cells(page)


def notebook(page) -> nbformat.NotebookNode:
    """The notebook as the open page has it, also what is scrolled out of view and thus not in the DOM."""
    return nbformat.from_dict(page.evaluate("() => jupyterapp.shell.currentWidget.content.model.toJSON()"))


def troubles(page) -> list[str]:
    """What went wrong since the notebook was opened: cells not run, errors and stderr, in cells and in widgets."""
    found = []
    for number, cell in enumerate(notebook(page).cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if cell.execution_count is None:
            found.append(f"cell {number} was not run")
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {number}: {output.ename}: {output.evalue}")
            elif output.get("name") == "stderr":
                found.append(f"cell {number}: {output.text}")
    seen = "\n".join(found)
    return found + [f"not in a cell: {text}" for text in heard(page) if text not in seen]


def heard(page) -> list[str]:
    """Errors and stderr that the kernel sent since the notebook was opened."""
    # Lab greets kernels that do not know widgets yet
    return page.evaluate("heard.filter(text => !text.startsWith('No such comm'))")


def outside_requests(page, server: Server | None = None) -> list[str]:
    """A list that grows with every request to another host than the server (on a static page: to any)."""
    home = AT_HOME + ((server.url, server.url.replace("http", "ws")) if server else ())
    outside = []

    def record(request):
        if not request.url.startswith(home):
            outside.append(request.url)

    page.on("request", record)
    page.on("websocket", record)
    return outside


# Two frames on end in which nothing is animated, scrolls, or makes the page longer.
STILL = """() => new Promise((still) => {
    let before
    const look = () => {
        const ends = ({playState, effect}) => playState === 'running' && effect.getComputedTiming().endTime < Infinity
        const now = [scrollX, scrollY, document.documentElement.scrollHeight, document.getAnimations().filter(ends).length]
        if (now.join() === before && !now.at(-1)) return still()
        before = now.join()
        requestAnimationFrame(look)
    }
    requestAnimationFrame(look)
})"""


def settle(page) -> None:
    """Wait until nothing in a page moves: a place or a colour that is read earlier is one on the way."""
    page.evaluate(STILL)


def resize(page, width: int, height: int = 900) -> None:
    """Give a page another size, and wait until it has it and stands still."""
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_function("width => innerWidth === width", arg=width)
    settle(page)


def set_theme(page, theme: str) -> None:
    """ "dark" or "light": JupyterLab's and Notebook's own theme, or a static page's, and what the system prefers.

    It returns when the colours have come to rest.
    """
    page.emulate_media(color_scheme=theme)
    if page.evaluate("() => 'jupyterapp' in window"):
        name = f"JupyterLab {theme.capitalize()}"
        page.evaluate("theme => void jupyterapp.commands.execute('apputils:change-theme', {theme})", name)
        page.wait_for_selector(f"body[data-jp-theme-name='{name}']", state="attached")
        page.wait_for_selector("#jupyterlab-splash", state="detached")
    else:  # sphinx-book-theme reads these two
        page.evaluate("theme => void Object.assign(document.documentElement.dataset, {theme, mode: theme})", theme)
    settle(page)


def axe_script() -> str:
    """axe-core, the file of the npm package, as axe-playwright-python brings it."""
    return (Path(find_spec("axe_playwright_python").origin).parent / "axe.min.js").read_text(encoding="utf-8")


def axe_violations(page, selector: str = "body", impacts: tuple[str, ...] = ("serious", "critical")) -> list[str]:
    """The violations of these impacts that axe-core finds in the elements selected, frames in them included."""
    for frame in page.frames:
        frame.evaluate(axe_script() + "; void axe.configure({allowedOrigins: ['<unsafe_all_origins>']})")
    found = page.evaluate("selector => axe.run(selector, {resultTypes: ['violations']})", selector)
    return [
        f"{violation['impact']}: {violation['id']}: {violation['help']}: {node['html']}"
        for violation in found["violations"]
        if violation["impact"] in impacts
        for node in violation["nodes"]
    ]


def ask(page, prompt: str) -> None:
    """Type a prompt in an explorer's field, and press Enter."""
    page.fill(".wt-prompt", prompt.replace("\n", "\\n"))
    page.keyboard.press("Enter")


def message(page, words: str) -> None:
    """Wait until the first explorer's message says so; until it says nothing where `words` is empty."""
    page.wait_for_function(
        "words => (said => words ? said.includes(words) : !said)(document.querySelector('.wt-message').textContent)",
        arg=words,
    )


def look_in_both_themes(page, name: str) -> None:
    """Fail for a serious fault that axe finds in an explorer, light or dark; keep a picture of each."""
    for theme in ("light", "dark"):
        set_theme(page, theme)
        assert axe_violations(page, ".wt") == []
        keep_picture(page, f"{name}_{theme}")


def loaded(page, selector: str, count: int) -> None:
    """Wait until there are so many images, each loaded and wider than 300 pixels."""
    page.wait_for_function(
        """([selector, count]) => {
            const all = [...document.querySelectorAll(selector)]
            return all.length === count && all.every(({complete, naturalWidth}) => complete && naturalWidth > 300)
        }""",
        arg=[selector, count],
    )


def close(page) -> None:
    """Close the page and shut down its kernel, which would keep its memory."""
    page.evaluate("() => window.jupyterapp?.shell.currentWidget?.sessionContext?.shutdown()")
    page.close()


def clear(page) -> None:
    """Close every notebook of a page that shows JupyterLab, without saving, and end their kernels; the page stays."""
    page.evaluate("""async () => {
        for (const widget of [...window.jupyterapp?.shell.widgets('main') ?? []]) {
            await widget.sessionContext?.shutdown()
            widget.dispose()
        }
    }""")


def keep_picture(page, name: str) -> None:
    """A screenshot, where `WALKTHROUGH_SCREENSHOTS` names a folder for them."""
    if folder := os.environ.get("WALKTHROUGH_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")
