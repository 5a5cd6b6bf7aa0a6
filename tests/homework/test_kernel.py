"""A submission's cells run as in JupyterLab's kernel, where nobody types, no window opens and nothing can be installed."""

import nbformat
import pytest

from walkthrough.exercises.check import RIGHT
from walkthrough.homework.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("box")


@pytest.fixture(scope="module")
def box_of_ours(box):
    """One sandbox for all of these cells, which are each other's predecessors, as in a notebook."""
    started = Sandbox()
    yield started
    started.close()


@pytest.fixture
def ran(box_of_ours):
    """Run a cell; its outputs by kind with their text, what it noted, and the error that stopped it."""

    def run(source):
        reply = box_of_ours.ask({"cell": source}, 60.0)
        shown = [
            (o["output_type"], o.get("text") or o.get("evalue") or o["data"]["text/plain"]) for o in reply["outputs"]
        ]
        return shown, reply["notes"], reply["stopped"] and reply["stopped"]["error"]

    return run


FINE = {  # what runs as it does at home, and what it shows
    "%matplotlib inline": [],
    "%load_ext autoreload\n%autoreload 0": [],
    "%config InlineBackend.figure_format = 'png'": [],
    "kept = !echo of the shell\nprint(kept)": [("stream", "['of the shell']\n")],
    "!echo one line": [("stream", "one line\r\n")],
    "%%bash\necho a cell": [("stream", "a cell\n")],
    "%%time\nvalue = 3\nNone": None,
    "%timeit -n1 -r1 value": None,
    "%pip --version": None,
    "1 + 1": [("execute_result", "2")],
    "_ + len(In) - len(In) + Out[_oh and max(_oh)]": [("execute_result", "4")],
    "import pandas\ndisplay(pandas.DataFrame({'a': [1]}))\npandas.DataFrame({'a': [2]})": [
        ("display_data", "   a\n0  1"), ("execute_result", "   a\n0  2")],
    "from IPython.display import HTML, clear_output, display\nprint('old')\nclear_output()\nHTML('<b>x</b>')": [
        ("execute_result", "<IPython.core.display.HTML object>")],
    "handle = display('old', display_id=True)\nhandle.update('new')": [("display_data", "'new'")],
    "print('a')\ndisplay('b')\nprint('c')": [("stream", "a\n"), ("display_data", "'b'"), ("stream", "c\n")],
    "get_ipython().kernel.implementation, get_ipython().__class__.__name__": [("execute_result", "('ipython', 'ZMQInteractiveShell')")],
    "get_ipython().run_line_magic('matplotlib', 'inline')": [],
    "import asyncio\nawait asyncio.sleep(0)\nawait asyncio.create_task(asyncio.sleep(0, 'done'))": [("execute_result", "'done'")],
    "from tqdm.notebook import tqdm\nsum(tqdm(range(3)))": None,
    "from tqdm.auto import tqdm\nsum(tqdm(range(3)))": None,
    "import ipywidgets\nipywidgets.IntSlider()": [("execute_result", "IntSlider(value=0)")],
    "import threading\nthread = threading.Thread(target=print, args=('beside',))\nthread.start(); thread.join()": [("stream", "beside\n")],
    "import warnings\nwarnings.warn('beware', UserWarning)": None,
    "import sys\nprint('red', file=sys.stderr)": [("stream", "red\n")],
    "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])": [("display_data", "<Figure size 640x480 with 1 Axes>")],
    "_ = plt.plot([1, 2])\nplt.show()\nprint('after')": [("display_data", "<Figure size 640x480 with 1 Axes>"), ("stream", "after\n")],
    "from torch.utils.data import DataLoader\nlen([x for x in DataLoader([1, 2], num_workers=1)])": [("execute_result", "2")],
    "%matplotlib notebook\n%matplotlib inline": None,
    "exit()\nbehind_exit = 1": [],
    "behind_exit": [("execute_result", "1")],
    "breakpoint()\nbehind_breakpoint = 1": None,
    "behind_breakpoint": [("execute_result", "1")],
    "import IPython\nIPython.get_ipython().kernel.do_shutdown(True)['status']": [("execute_result", "'ok'")],
    "print(open('/dev/stdin').read(), input.__name__ != '')": None,
}  # fmt: skip


@pytest.mark.parametrize(("source", "shown"), FINE.items(), ids=lambda x: x[:25] if isinstance(x, str) else "")
def test_what_runs_at_home_runs_here(ran, source, shown):
    outputs, notes, stopped = ran(source)
    assert stopped is None
    assert notes == []
    assert shown is None or outputs == shown


NOTED = {  # what cannot be had here costs its own line, and what is then noted
    "%matplotlib widget": ["magic"], "%matplotlib qt": ["magic", "window"],
    "import matplotlib\nmatplotlib.use('TkAgg')": ["window"], "plt.switch_backend('QtAgg')": ["window"],
    "%conda install a_package_of_nobody": ["magic"], "%load_ext an_extension_of_nobody": ["magic"], "%a_magic_of_nobody 3": ["magic"],
    "import a_package_of_nobody, math as m, another_of_nobody\nfrom a_third import one\nassert m.pi": ["package"],
    "import os; import a_package_of_nobody; import json": ["package"],
    "# Ä über allem\nö = 'ö'; import a_package_of_nobody; import json as ï": ["package"],
    "%%a_cell_magic_of_nobody": ["magic"],
}  # fmt: skip


@pytest.mark.parametrize(("source", "kinds"), NOTED.items(), ids=lambda x: x[:25] if isinstance(x, str) else "")
def test_what_cannot_be_had_costs_its_own_line_only(ran, source, kinds):
    ran("behind = None; import matplotlib.pyplot as plt")
    _, notes, stopped = ran(f"{source}\nbehind = len({source!r})")
    assert stopped is None
    assert {kind for kind, _ in notes} <= set(kinds)
    assert notes
    assert ran("behind")[0] == [("execute_result", str(len(source)))]
    outputs, _, _ = ran("_ = plt.plot([1, 2])")  # whatever window was wished for, figures are in the notebook
    assert [kind for kind, _ in outputs] == ["display_data"]


@pytest.mark.parametrize(
    "source", ["input('How many? ')", "import getpass\ngetpass.getpass()", "from getpass import getpass\ngetpass()"]
)
def test_who_asks_for_input_hears_so_at_once(ran, source):
    (shown,), _, stopped = ran(source)
    assert stopped == "StdinNotImplementedError"
    assert shown == ("error", "input() waits for somebody to type, and nobody is there when homework is marked")


STOPPED = {
    "recursion": ("def f(n):\n    return f(n)\nf(1)", "RecursionError", 3),
    "a deep error": ("def g(n):\n    return 1 / 0 if n == 0 else g(n - 1)\n\ng(900)", "ZeroDivisionError", 4),
    "two errors, both deep": ("try:\n    g(900)\nexcept Exception as e:\n    raise ValueError from e", "ValueError", 4),
    "syntax": ("x = 1\ny = = 2", "SyntaxError", 2),
    "an error that cannot be told": ("class E(Exception):\n    def __str__(self):\n        return 1 / 0\nraise E", None, None),
    "recursion again": ("f(1)", "RecursionError", 1),
    "a task beside": ("import asyncio\nasync def leave():\n    raise SystemExit\nt = asyncio.create_task(leave())\nawait asyncio.sleep(0.1)",
                      "SystemExit", None),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt", 1),
    "missing below an import": ("import json\njson.no_such_thing", "AttributeError", 2),
    "a function's import": ("def h():\n    import a_package_of_nobody\nh()\nbehind_h = 1", "ModuleNotFoundError", 3),
}  # fmt: skip


@pytest.mark.parametrize(("source", "error", "line"), STOPPED.values(), ids=STOPPED)
def test_what_stops_a_cell_is_told_with_its_line_and_stops_no_other(box_of_ours, source, error, line):
    reply = box_of_ours.ask({"cell": source}, 60.0)
    assert error is None or reply["stopped"]["error"] == error
    assert line is None or reply["stopped"]["line"] == line
    assert len(str(reply["outputs"])) < 20_000
    assert box_of_ours.ask({"cell": "1 + 1"}, 60.0)["outputs"][0]["data"] == {"text/plain": "2"}


def test_pictures_without_end_cost_no_cell(box_of_ours):
    noise = "import numpy as np\nfor i in range(12):\n    plt.imshow(np.random.rand(480, 480, 3), interpolation='none'); plt.show()\nshown = i"
    reply = box_of_ours.ask({"cell": "import matplotlib.pyplot as plt\n" + noise}, 60.0)
    assert reply["stopped"] is None
    assert 0 < sum(len(o["data"].get("image/png", "")) for o in reply["outputs"]) <= 5 * 2**20


def test_a_set_up_cell_as_students_have_it_costs_no_mark(mark, hand_in, right):
    first = (
        "%matplotlib inline\n%load_ext autoreload\n%autoreload 2\n!pip install torch\nimport seaborn_of_nobody as sns\n"
        "import torch\nassert False, 'and what is behind it, too'"
    )
    notebook = hand_in(first=first, **right)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import a_package_of_nobody\nsns.set_theme()"))
    notebook.cells.insert(2, nbformat.v4.new_code_cell("1 / 0"))
    judged = mark(notebook)
    assert [verdict.mark for verdict in judged.verdicts.values()] == [RIGHT] * 3
    said = "is no package of the course, and is not there when homework is marked; the lines below were run"
    packages = [remark.partition(": ")[2] for remark in judged.remarks if remark.endswith(said)]
    assert packages == [f"`a_package_of_nobody` {said}", f"`seaborn_of_nobody` {said}"]
    nbformat.validate(judged.notebook)
