"""The course on machines that are set up otherwise: each condition is set, and what a reader does is done under it."""

import ast
import json
import os
import runpy
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import torch
from accelerate.state import AcceleratorState

from walkthrough import models
from walkthrough.training import trainer

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
run = runpy.run_path(str(ROOT / "tests" / "run.py"))

# What a reader does, on a machine where everything is set otherwise; the answers are printed as JSON.
READER = """
import json, locale, os, socket, sys, warnings
from pathlib import Path

asked = []
socket.getaddrinfo = lambda *where, **_: asked.append(str(where[:2])) or __import__("time").sleep(60)
socket.socket.connect = lambda self, where: asked.append(str(where))
warnings.filterwarnings("error", category=EncodingWarning, module=r"walkthrough|graders")
import torch
torch.cuda.is_available = lambda: True  # a GPU that nobody can use: whoever tries fails

import matplotlib
import matplotlib.pyplot as plt
from walkthrough import corpus, figures, models, paths, progress, widgets
from walkthrough.homework import course, leaks

said = {"encoding": locale.getencoding(), "flags": [sys.flags.utf8_mode, sys.flags.warn_default_encoding]}
said["cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
said["home"] = os.access(Path.home(), os.W_OK)
names = [card.stem for card in models.WEIGHTS.glob("*.json") if card.stem != "tokenizer"]
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    loaded = {name: models.load(name) for name in names}
    said["devices"] = sorted({str(p.device) for m in loaded.values() for p in m.parameters()} | {m.cfg.device for m in loaded.values()} | {models.config(2).device})
    model = loaded["two-layer"]
    tokens = model.to_tokens("héllo = {}\\n")
    terms = paths.path_expansion(model, tokens)
    said["off"] = (sum(terms.values()) - model(tokens)).abs().max().item()
    corpus.load_bigrams()
    pattern = model.run_with_cache(tokens)[1]["pattern", 0][0, 0]
    figures.basics.attention(pattern, model.to_str_tokens(tokens))
    figures.basics.lines({"all": [1.0, 2.0]}) if hasattr(figures.basics, "lines") else None
    plt.gcf().canvas.draw()
    said["figure"] = [matplotlib.rcParams["text.usetex"], matplotlib.rcParams["figure.facecolor"], list(matplotlib.rcParams["figure.figsize"])]
    explorer = widgets.AttentionExplorer(model, "x = 1")
    said["table"] = "<table" in explorer.page()
said["warnings"] = sorted({f"{w.category.__name__}: {w.message}" for w in heard if "walkthrough" in w.filename})
made = Path(os.fsdecode("my course é".encode()))  # as from a command line in this locale
course.create(made, Path(sys.argv[1]))
said["released"] = course.release(made, "hw1").name
said["leaks"] = leaks.search(made, [course.release(made, "hw1")])
said["progress"] = len(progress.read(Path(sys.argv[1]).parent))
said["asked"] = asked
print(json.dumps(said))
"""
RC = "text.usetex: True\nfigure.facecolor: black\naxes.facecolor: black\nfigure.figsize: 1, 1\nfont.size: 30\nsavefig.dpi: 9\n"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """What a reader meets on a hostile machine: answers, and what was printed beside them."""
    folder = tmp_path_factory.mktemp("a place – with spaces é")
    for room in ("walkthrough", "notebooks"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    (folder / "rc").write_text(RC, encoding="utf-8")
    (folder / "reader.py").write_text(READER, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH")}
    hostile = {
        "MATPLOTLIBRC": str(folder / "rc"), "COLUMNS": "40", "FORCE_COLOR": "1", "LC_ALL": "C", "PYTHONUTF8": "0",
        "PYTHONWARNDEFAULTENCODING": "1", "HOME": "/proc/nobody", "HF_HOME": str(folder / "cold"), "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    one_core = getattr(os, "sched_setaffinity", None)
    ran = subprocess.run(
        [sys.executable, "reader.py", str(folder / "notebooks" / "homework")], cwd=folder, env=kept | hostile, check=False,
        capture_output=True, encoding="utf-8", preexec_fn=one_core and (lambda: one_core(0, {min(os.sched_getaffinity(0))})),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1]) | {"stderr": ran.stderr}


def test_the_conditions_were_really_set(elsewhere):
    assert elsewhere["encoding"] in ("ANSI_X3.4-1968", "US-ASCII", "646")
    assert elsewhere["flags"] == [0, 1]
    assert elsewhere["cores"] == 1
    assert not elsewhere["home"]


def test_a_locale_without_utf_8_and_no_file_read_by_its_encoding(elsewhere):
    assert elsewhere["released"] == "hw1.ipynb"
    assert elsewhere["leaks"] == []
    assert elsewhere["progress"] > 40


def test_a_hostile_matplotlibrc_changes_no_figure(elsewhere):
    usetex, face, size = elsewhere["figure"]
    assert (usetex, face, size) == (False, "white", [6.4, 4.8])


def test_a_visible_gpu_is_left_alone(elsewhere):
    assert elsewhere["devices"] == ["cpu"]
    assert elsewhere["off"] < 1e-4


def test_with_a_cold_cache_and_no_offline_flag_no_connection_is_tried(elsewhere):
    assert elsewhere["asked"] == []


def test_nothing_of_ours_warns(elsewhere):
    assert elsewhere["warnings"] == []
    assert elsewhere["table"]


def test_every_file_is_read_and_written_with_its_encoding_named():
    unnamed = []
    for path in [*(ROOT / "walkthrough").rglob("*.py"), *(ROOT / "notebooks").rglob("*.py"), ROOT / "docs" / "conf.py"]:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and opens_text(call):
                unnamed.append(f"{path.name}:{call.lineno}")
    assert unnamed == []


def opens_text(call: ast.Call) -> bool:
    """Whether a call opens a file as text, and leaves its encoding to the machine."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    if name in ("read_text", "write_text"):
        return len(call.args) < (1 if name == "read_text" else 2)
    modes = [node.value for node in [*call.args[:2], *(k.value for k in call.keywords if k.arg == "mode")]
             if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
    binary = any("b" in mode and len(mode) < 4 for mode in modes)
    others = ("os", "tokenize", "zipfile", "tarfile", "Image")
    foreign = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in others
    return name in ("open", "fdopen") and not binary and not foreign


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_kernel_of_another_python_is_named_with_what_to_type(path):
    first = next(cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
    other = subprocess.run(
        [sys.executable, "-I", "-S", "-c", first.source], capture_output=True, encoding="utf-8", check=False
    )
    said = other.stderr.strip().splitlines()[-1]
    assert said.startswith(
        f"ModuleNotFoundError: This notebook runs on {sys.executable}, which does not have the course."
    )
    assert "python -m ipykernel install --sys-prefix --name walkthrough" in said
    assert subprocess.run([sys.executable, "-c", first.source], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "move",
    [lambda m: m.to("cuda"), lambda m: m.cuda(), lambda m: m.to(torch.device("mps")), lambda m: m.to(device="cuda:1")],
)
def test_a_model_of_the_course_stays_on_the_cpu_and_says_so(move):
    model = models.tiny(1)
    with pytest.raises(ValueError, match="stay on the CPU"):
        move(model)
    assert model.to("cpu") is model
    assert model.to(torch.float64).W_E.dtype == torch.float64


def test_settings_of_accelerate_leave_training_and_its_card_alone(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")
    AcceleratorState._reset_state(True)
    try:
        made = trainer.accelerator()
        assert made.mixed_precision == "no"
        assert made.state.dynamo_plugin.backend == "NO"
    finally:
        AcceleratorState._reset_state(True)


HOSTILE = {
    "PYTEST_ADDOPTS": "-x --maxfail=1", "COLUMNS": "40", "FORCE_COLOR": "1", "PYTHONWARNINGS": "default", "NO_COLOR": "1",
    "MATPLOTLIBRC": "/nowhere", "MPLBACKEND": "TkAgg", "PYTHONUTF8": "0", "LC_ALL": "C", "IPYTHONDIR": "/home/me/.ipython",
    "JUPYTER_CONFIG_DIR": "/home/me/.jupyter", "JUPYTER_DATA_DIR": "/home/me/.local/share/jupyter", "PYTHONPATH": "/home/me",
    "PYTHONHASHSEED": "1", "TRANSFORMERLENS_ALLOW_MPS": "1",
}  # fmt: skip


def test_the_test_command_takes_no_settings_from_the_machine(monkeypatch, tmp_path):
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    environment = run["environment"](tmp_path)
    taken = {name for name, value in HOSTILE.items() if environment.get(name) == value}
    assert taken == set()
    assert {"PATH", "HOME"} <= set(environment)


@pytest.mark.parametrize("mode", ["", "quick", "newest", "benchmarks --short"])
def test_what_the_test_command_names_exists(mode):
    told = run["options"](mode.split())
    plugins = [name for flag, name in pairwise(told) if flag == "-p"]
    assert all(list((ROOT / "tests").rglob(f"{name}.py")) for name in plugins)
    assert ("--short" in told) == ("--short" in mode)


def test_the_pinned_cells_are_those_that_show_what_was_measured_on_the_text_of_packages():
    """Whatever uses rows of text is, and so is what uses that."""
    pinned = [int(name.partition("Cell ")[2]) for name in run["PINNED"] if "Cell" in name]
    nb = nbformat.read(ROOT / "notebooks/06_bugs_and_their_cost.ipynb", 4)
    measured, shown = set(), []
    for number, cell in enumerate(cell for cell in nb.cells if cell.cell_type == "code"):
        tree = ast.parse(cell.source)
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        stored |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if "file_rows(" in cell.source or measured & ({node.id for node in names} - stored):
            measured |= stored
            shown += [number] if cell.outputs else []
        else:
            measured -= stored
    assert pinned == shown
