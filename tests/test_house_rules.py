"""What design asks of notebooks and package, as tests; each rule is also shown a notebook that breaks it."""

import ast
import errno
import os
import re
import socket
import subprocess
import sys
import tokenize
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from reader_rules import described_figures, formulas_in_latex, is_stub, short_lines

from walkthrough import behaviour

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HOMEWORK = sorted((ROOT / "notebooks" / "homework").glob("*.ipynb"))
MODULES = sorted((ROOT / "walkthrough").rglob("*.py"))
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


def code_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def executed_in_sequence(nb):
    counts = [cell.execution_count for cell in code_cells(nb)]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts {counts}"]


def short_cells(nb):
    seen = [cell for cell in code_cells(nb) if "hide-input" not in cell.metadata.get("tags", [])]
    lengths = [len(cell.source.splitlines()) for cell in seen]
    problems = [f"a cell of {length} lines" for length in lengths if length > 15]
    if lengths and lengths[0] > 8:
        problems.append(f"a set-up cell of {lengths[0]} lines")
    if lengths and sorted(lengths)[len(lengths) // 2] > 5:
        problems.append("the median code cell is above 5 lines")
    return problems


def plain_python(nb):
    hidden = re.compile(r"^\s*[%!]|get_ipython|sys\.path|os\.system|subprocess", re.M)
    return [cell.source for cell in code_cells(nb) if hidden.search(cell.source)]


def clean_outputs(nb):
    outputs = [output for cell in code_cells(nb) for output in cell.outputs]
    return [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


def few_figures(nb):
    figures = sum("image/png" in output.get("data", {}) for cell in code_cells(nb) for output in cell.outputs)
    return [f"{figures} figures"] if figures > 12 else []


def three_to_eight_exercises(nb):
    checks = {label for cell in code_cells(nb) for label in re.findall(r'check\("(\d+\.\d+)"', cell.source)}
    return [] if 3 <= len(checks) <= 8 else [f"exercises {sorted(checks)}"]


def unsolved(nb):
    """Every exercise is published unsolved: its check says so, and nothing else."""
    return [
        cell.source
        for cell in code_cells(nb)
        if 'check("' in cell.source and "not attempted yet" not in "".join(o.get("text", "") for o in cell.outputs)
    ]


def links_lead_somewhere(nb, folder=ROOT / "notebooks"):
    links = [
        link
        for cell in nb.cells
        for link in re.findall(r"\]\(([^)#:]+)\)", cell.source)
        if cell.cell_type == "markdown"
    ]
    return [link for link in links if not (folder / link).exists()]


def package_definitions():
    found = {}
    taught = ("walkthrough", "one_layer", "two_layers", "beyond", "training")
    for module in [module for module in MODULES if module.parent.name in taught]:
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, DEFINITIONS):
                node.decorator_list = [each for each in node.decorator_list if not guards(each)]
                found.setdefault(node.name, []).append(ast.dump(node))
    return found


def guards(decorator: ast.expr) -> bool:
    """Whether it is the one decorator that a notebook leaves out: it looks at the model, and changes nothing else."""
    return (
        isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "leaves_out"
    )


def same_syntax_trees(nb):
    """A name that the package defines too is defined by the same code, or left for the reader to write."""
    package, problems = package_definitions(), []
    for cell in code_cells(nb):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, DEFINITIONS) and node.name in package and not is_stub(node):
                problems += [node.name] if ast.dump(node) not in package[node.name] else []
    return problems


RULES = (
    executed_in_sequence, short_cells, plain_python, clean_outputs, few_figures, three_to_eight_exercises,
    unsolved, links_lead_somewhere, same_syntax_trees,
)  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_follow_the_rules(path, rule):
    assert rule(nbformat.read(path, 4)) == []


@pytest.mark.parametrize(
    "rule", [executed_in_sequence, plain_python, clean_outputs, same_syntax_trees], ids=lambda rule: rule.__name__
)
@pytest.mark.parametrize("path", HOMEWORK, ids=lambda path: path.stem)
def test_homework_follows_the_rules_that_concern_it(path, rule):
    assert rule(nbformat.read(path, 4)) == []


def long_homework_cells(nb):
    """Cells of more than 15 lines; of 20, where a student is to write a function. nbgrader's marks are not counted."""
    problems = []
    for cell in code_cells(nb):
        lines = [line for line in cell.source.splitlines() if not re.match(r"\s*### (BEGIN|END) ", line)]
        answer = cell.metadata.get("nbgrader", {}).get("solution") and "def " in cell.source
        problems += [f"{cell.id}: {len(lines)} lines"] if len(lines) > (20 if answer else 15) else []
    return problems


def without_dots(nb):
    """The same prose without the dots that part titles, and those that stand for spaces in code."""
    cells = [new_markdown_cell(cell.source.replace(" · ", ", ")) for cell in nb.cells if cell.cell_type == "markdown"]
    return new_notebook(cells=cells)


@pytest.mark.parametrize(
    ("source", "solution", "problems"),
    [("x = 1\n" * 15, False, 0), ("x = 1\n" * 16, False, 1), ("def f():\n" * 20, True, 0), ("def f():\n" * 21, True, 1),
     ("### BEGIN SOLUTION\n" + "x = 1\n" * 15 + "### END SOLUTION", True, 0)],
)  # fmt: skip
def test_a_long_cell_of_a_homework_is_found(source, solution, problems):
    cell = code(source, metadata={"nbgrader": {"solution": solution}})
    assert len(long_homework_cells(new_notebook(cells=[cell]))) == problems


@pytest.mark.parametrize("path", HOMEWORK, ids=lambda path: path.stem)
def test_homework_states_its_minutes_points_and_prerequisites_and_is_short(path):
    nb = nbformat.read(path, 4)
    assert re.search(r"Minutes: \d+ · Points: 20 · Before this", nb.cells[0].source)
    assert links_lead_somewhere(nb, path.parent) == []
    assert long_homework_cells(nb) == []
    assert short_lines(nb) == []
    assert described_figures(nb) == []
    assert formulas_in_latex(without_dots(nb)) == []
    assert 1 <= sum("image/png" in o.get("data", {}) for cell in code_cells(nb) for o in cell.outputs) <= 4


@pytest.mark.parametrize("path", [*NOTEBOOKS, *HOMEWORK], ids=lambda path: path.stem)
def test_notebooks_are_small(path):
    assert path.stat().st_size <= 1_000_000


def test_the_course_has_the_notebooks_it_names():
    """In the README's table, and in the map of the first notebook."""
    map_of_00 = "\n".join(cell.source for cell in nbformat.read(NOTEBOOKS[0], 4).cells)
    for text in ((ROOT / "README.md").read_text(encoding="utf-8"), map_of_00):
        assert re.findall(r"^\| \W*(\d\d_\w+)", text, re.M) == [path.stem for path in NOTEBOOKS]


def code(source, count=1, **kwargs):
    return new_code_cell(source, execution_count=count, **kwargs)


BROKEN = {
    executed_in_sequence: [code("1", 1), code("2", 3)],
    short_cells: [code("x = 1\n" * 16)],
    plain_python: [code("%time x")],
    clean_outputs: [code("1 / 0", outputs=[new_output("error", ename="E", evalue="", traceback=[])])],
    few_figures: [code("f()", outputs=[new_output("display_data", {"image/png": ""})] * 13)],
    three_to_eight_exercises: [code('check("1.1", f)')],
    unsolved: [code('check("1.1", f)', outputs=[new_output("stream", text="1.1 ✓ right\n")])],
    links_lead_somewhere: [new_markdown_cell("see [the next one](99_nowhere.ipynb)")],
    same_syntax_trees: [code("def previous_token_score(pattern):\n    return pattern")],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_catches_a_notebook_that_breaks_it(rule):
    assert rule(new_notebook(cells=BROKEN[rule])) != []


def imports(path):
    """The modules of this package and TransformerLens that a file imports."""
    names, packages = set(), {"walkthrough", *(f"walkthrough.{room}" for room in ROOMS)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in packages:
            folder = ROOT.joinpath(*node.module.split("."))
            modules = {a.name for a in node.names if (folder / a.name).is_dir() or (folder / f"{a.name}.py").exists()}
            names |= {f"{node.module}.{module}" for module in modules}
            names |= {node.module} if len(modules) < len(node.names) else set()
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {name for name in names if name.partition(".")[0] in ("walkthrough", "transformer_lens")}


W = "walkthrough"
ALLOWED = {  # a folder's own name stands for every file in it that is not named
    "networks": {"transformer_lens", "transformer_lens.model_bridge.sources.native"},
    "models": {"transformer_lens", "transformer_lens.model_bridge.sources._bridge_builder",
               "transformer_lens.model_bridge.sources.native", f"{W}.networks"},
    "architecture": {f"{W}.networks"},
    "circuits": {f"{W}.models"},
    "paths": {f"{W}.circuits", f"{W}.models"},
    "attribution": {f"{W}.paths"},
    "interventions": {f"{W}.behaviour", f"{W}.models", f"{W}.paths"},
    "training/checkpoints": {f"{W}.models"},
    "training/trainer": {f"{W}.corpus", f"{W}.behaviour", f"{W}.models", 
                         *(f"{W}.training.{part}" for part in ("checkpoints", "forward", "muon", "precision", "recipes", "variants"))},
    "training/forward": {f"{W}.models"},
    "training/shared": {f"{W}.corpus", f"{W}.models", *(f"{W}.training.{part}" for part in ("live", "recipes", "trainer"))},
    "training/variants": {f"{W}.models", f"{W}.training.muon"},
    "training/histories": {f"{W}.training.{part}" for part in ("live", "recipes", "records")} | {f"{W}.networks"},
    "training/cause_networks": {f"{W}.models", f"{W}.training.variants"},
    "training/causes": {f"{W}.models", *(f"{W}.training.{part}" for part in ("cause_networks", "live", "recipes"))},
    "training/causes_table": {f"{W}.behaviour", f"{W}.corpus", f"{W}.interventions", f"{W}.models",
                              *(f"{W}.training.{part}" for part in ("causes", "forward", "live")),
                              *(f"{W}.two_layers.{part}" for part in ("causes", "in_context", "induction"))},
    "training/records": {f"{W}.training.{part}" for part in ("live", "recipes", "variants")},
    "training/series": {f"{W}.corpus", f"{W}.models", f"{W}.two_layers.forming",
                        *(f"{W}.training.{part}" for part in ("live", "recipes", "variants"))},
    "training/live": {f"{W}.behaviour", f"{W}.corpus", f"{W}.models",
                      *(f"{W}.training.{part}" for part in ("checkpoints", "forward", "recipes", "trainer", "variants"))},
    "training/__init__": {f"{W}.training.{part}" for part in ("checkpoints", "recipes", "trainer")},
    "training/__main__": {f"{W}.training"},
    "beyond/training": {f"{W}.corpus", f"{W}.behaviour", f"{W}.models",
                        *(f"{W}.training.{part}" for part in ("checkpoints", "muon", "recipes", "trainer"))},
    "beyond/phases": {f"{W}.beyond.superposition"},
    "beyond/batches": {f"{W}.beyond.particles"},
    "beyond/circle": {f"{W}.beyond.particles"},
    "beyond/particle_runs": {f"{W}.beyond.clusters"},
    "beyond/clusters": {f"{W}.beyond.batches", f"{W}.beyond.particles"},
    "beyond/blind_search": {f"{W}.models"},
    "beyond/released": {f"{W}.beyond.released_store", f"{W}.models"},
    "beyond/released_store": {f"{W}.beyond.released_gguf", f"{W}.beyond.released_tokenizer"},
    "beyond/scale": {f"{W}.beyond.frozen_weights", f"{W}.models"},
    "beyond/positivity": {f"{W}.beyond.frozen_weights", f"{W}.beyond.scale"},
    "beyond/modern": {f"{W}.beyond.positivity"},
    "beyond/processes": {f"{W}.beyond.positivity", f"{W}.beyond.scale", f"{W}.models"},
    "beyond/bridge": {f"{W}.behaviour"},
    "beyond/layernorm": {f"{W}.models", f"{W}.paths"},
    "beyond/frozen_weights": {f"{W}.architecture", f"{W}.models"},
    "beyond/frozen": {f"{W}.beyond.frozen_weights", f"{W}.paths"},
    "beyond/frozen_hooks": {f"{W}.beyond.frozen_weights", f"{W}.interventions", f"{W}.models"},
    "beyond/frozen_scores": {f"{W}.beyond.frozen", f"{W}.beyond.frozen_weights", f"{W}.interventions", f"{W}.models",
                             f"{W}.two_layers.composition", f"{W}.two_layers.induction"},
    "beyond/folded_rows": {f"{W}.beyond.{part}" for part in ("folded_circuits", "frozen_scores", "frozen_weights")},
    "beyond/frozen_sources": {f"{W}.beyond.frozen", f"{W}.beyond.frozen_weights"},
    "beyond/folded_circuits": {"transformer_lens", f"{W}.beyond.frozen_scores", f"{W}.beyond.frozen_weights",
                               f"{W}.interventions", f"{W}.two_layers.composition"},
    "beyond/mlp": {f"{W}.paths"},
    "beyond/cosines": {f"{W}.paths"},
    "beyond/forces": {f"{W}.beyond.cosines", f"{W}.circuits", f"{W}.models", f"{W}.paths"},
    "beyond/shared_model": {f"{W}.models", f"{W}.training.shared"},
    "beyond/steps": {f"{W}.behaviour", f"{W}.beyond.clusters", f"{W}.beyond.cosines", f"{W}.training.shared"},
    "beyond/reach": {f"{W}.behaviour", *(f"{W}.beyond.{part}" for part in ("cosines", "forces", "shared_model")), f"{W}.paths"},
    "beyond/outcomes": {f"{W}.interventions",
                        *(f"{W}.beyond.{part}" for part in ("cosines", "forces", "predicted", "reach", "shared_model", "steps"))},
    "beyond/kinds": {f"{W}.circuits"},
    "beyond/tuning": {f"{W}.beyond.vision"},
    "beyond/editing": {f"{W}.models"},
    "beyond/bench": {f"{W}.corpus", f"{W}.models"},
    "beyond/faithful": {f"{W}.interventions", f"{W}.one_layer.skip_trigrams"},
    "beyond/fine_tuning": {f"{W}.beyond.faithful", f"{W}.interventions", f"{W}.models"},
    "beyond/biases": {f"{W}.beyond.blind_search", f"{W}.interventions", f"{W}.models", f"{W}.one_layer.skip_trigrams"},
    "beyond/suspicions": {f"{W}.beyond.{part}" for part in ("bench", "blind_search", "faithful")},
    "beyond/misquotes": {f"{W}.two_layers.induction",
                         *(f"{W}.beyond.{part}" for part in ("bench", "biases", "blind_search", "faithful"))},
    "beyond/removals": {f"{W}.interventions",
                        *(f"{W}.beyond.{part}" for part in ("bench", "biases", "blind_search", "editing", "faithful", "fine_tuning"))},
    "beyond/bias_runs": {f"{W}.beyond.{part}" for part in ("bench", "biases", "blind_search", "editing", "faithful", "misquotes", "removals", "suspicions")},
    "beyond/weaknesses": {f"{W}.beyond.blind_search", f"{W}.beyond.faithful", f"{W}.interventions"},
    "beyond/crossed_pairs": {f"{W}.one_layer.bugs", *(f"{W}.beyond.{part}" for part in ("blind_search", "faithful", "weaknesses"))},
    "beyond/defences": {f"{W}.interventions", *(f"{W}.beyond.{part}" for part in ("bench", "biases", "editing", "removals", "weaknesses"))},
    "beyond/attack_runs": {f"{W}.behaviour", f"{W}.corpus", f"{W}.interventions", f"{W}.two_layers.induction",
                           *(f"{W}.beyond.{part}" for part in ("bench", "bias_runs", "crossed_pairs", "defences", "weaknesses"))},
    "beyond/known_language": {f"{W}.models"},
    "beyond/known_truth": {f"{W}.models", *(f"{W}.beyond.{part}" for part in ("bench", "blind_search", "editing", "faithful", "known_language", "removals"))},
    "beyond/smaller": {f"{W}.architecture", f"{W}.models"},
    "beyond/smaller_network": {f"{W}.architecture", f"{W}.beyond.smaller", f"{W}.models"},
    "beyond/smaller_healing": {f"{W}.beyond.smaller", f"{W}.beyond.smaller_network"},
    "beyond/smaller_importance": {f"{W}.architecture", f"{W}.behaviour", f"{W}.beyond.smaller", f"{W}.beyond.smaller_network"},
    "beyond/smaller_speed": {f"{W}.beyond.smaller_network", f"{W}.models", f"{W}.training.forward"},
    "beyond/smaller_measured": {f"{W}.corpus", f"{W}.models",
                                *(f"{W}.beyond.smaller_{part}" for part in ("healing", "importance", "network", "speed"))},
    "beyond/smaller_runs": {f"{W}.models", f"{W}.beyond.smaller",
                            *(f"{W}.beyond.smaller_{part}" for part in ("healing", "importance", "measured", "network"))},
    "one_layer/skip_trigrams": {f"{W}.circuits", f"{W}.models", f"{W}.searches"},
    "one_layer/copying": {f"{W}.circuits", f"{W}.searches", f"{W}.one_layer.skip_trigrams"},
    "one_layer/lookup": {f"{W}.circuits", f"{W}.models"},
    "one_layer/bug_cost": {f"{W}.corpus", f"{W}.models"},
    "one_layer/bugs": {f"{W}.circuits", f"{W}.models", f"{W}.searches", f"{W}.one_layer.skip_trigrams"},
    "two_layers/causes": {f"{W}.paths"},
    "two_layers/cause_runs": {f"{W}.models", f"{W}.training.cause_networks"},
    "two_layers/composition": {f"{W}.circuits", f"{W}.models"},
    "two_layers/terms": {f"{W}.paths"},
    "two_layers/term_importance": {f"{W}.behaviour", f"{W}.interventions", f"{W}.paths"},
    "two_layers/virtual_heads": {f"{W}.behaviour", f"{W}.two_layers.term_importance"},
    "two_layers/in_context": {f"{W}.behaviour"},
    "two_layers/induction": {f"{W}.behaviour", f"{W}.circuits", f"{W}.interventions", f"{W}.paths",
                             f"{W}.two_layers.composition"},
    "two_layers/handmade": {f"{W}.paths", f"{W}.two_layers.causes"},
    "two_layers/forming": {f"{W}.behaviour", f"{W}.circuits", f"{W}.models", f"{W}.training.variants",
                           *(f"{W}.two_layers.{part}" for part in ("composition", "in_context", "induction", "matching"))},
    "two_layers/matching": {f"{W}.behaviour", f"{W}.interventions", f"{W}.paths", f"{W}.two_layers.composition",
                            f"{W}.two_layers.induction"},
    "figures": {f"{W}.figures.basics"},
    "figures/__init__": {f"{W}.figures.{part}" for part in ("basics", "captions", "circuits", "composition", "copying", "diagrams", "editing", "forces", "forming",
                                                           "induction", "neurons", "particles", "records", "smaller", "spaces", "superposition", "terms", "training", "vision")},
    "diagrams": {f"{W}.figures.basics", f"{W}.figures.diagrams.grammar"},
    "figures/diagrams/__init__": {f"{W}.figures.diagrams.{part}"
                                  for part in ("beyond", "directions", "force", "mixtures", "offsets", "orders", "particles", "paths", "released", "reverse", "spaces", "stream", "tables", "text", "transition")},
    "widgets/__init__": {f"{W}.widgets.{kind}_explorer" for kind in ("attention", "checkpoint", "circuit", "composition", "logit")}
                        | {f"{W}.widgets.guess", f"{W}.widgets.particle_movie", f"{W}.widgets.training_monitor"},
    "widgets/particle_movie": {f"{W}.figures", f"{W}.widgets.page"},
    "widgets/page": {f"{W}.widgets.either"},
    "widgets/explorer": {f"{W}.architecture", f"{W}.figures.basics", f"{W}.models", f"{W}.widgets.page", f"{W}.widgets.shipped"},
    "widgets/shipped": {f"{W}.models", f"{W}.training.variants", f"{W}.two_layers.forming"},
    "widgets/training_page": {f"{W}.figures", f"{W}.training.live", f"{W}.widgets.page"},
    "widgets/training_monitor": {f"{W}.training.live", f"{W}.widgets.either", f"{W}.widgets.page",
                                 f"{W}.widgets.training_page"},
    "widgets/guess": {f"{W}.widgets.either"},
    "doctor": {f"{W}.beyond.released_store", f"{W}.corpus", f"{W}.homework.sandbox", f"{W}.models", f"{W}.paths", f"{W}.training.precision"},
    "widgets/ablation": {f"{W}.interventions", f"{W}.widgets.explorer"},
    "widgets/attention_explorer": {f"{W}.figures", f"{W}.interventions", f"{W}.widgets.ablation", f"{W}.widgets.explorer"},
    "widgets/checkpoint_explorer": {f"{W}.figures", f"{W}.widgets.explorer", f"{W}.widgets.page"},
    "widgets/circuit_explorer": {f"{W}.architecture", f"{W}.beyond.folded_rows", f"{W}.figures", f"{W}.circuits", f"{W}.searches", f"{W}.widgets.explorer"},
    "widgets/composition_explorer": {*(f"{W}.beyond.{part}" for part in ("folded_circuits", "folded_rows", "frozen", "frozen_scores")), f"{W}.circuits", f"{W}.two_layers.composition", f"{W}.two_layers.induction",
                                     f"{W}.paths", f"{W}.figures", f"{W}.searches", f"{W}.widgets.explorer"},
    "widgets/logit_explorer": {f"{W}.attribution", f"{W}.beyond.frozen_sources", f"{W}.beyond.frozen_weights", f"{W}.figures", f"{W}.widgets.ablation", f"{W}.widgets.explorer"},
    "homework/task": {f"{W}.exercises.check"},
    "homework/wire": {f"{W}.models"},
    "homework/kernel": {f"{W}.homework.{part}" for part in ("shown", "standing", "stops")},
    "homework/copies": {f"{W}.exercises.check", f"{W}.homework.restoring", f"{W}.homework.sources"},
    "homework/worker": {f"{W}.homework.kernel", f"{W}.homework.stops", f"{W}.homework.wire"},
    "homework/believed": {f"{W}.homework.reasons"},
    "homework/handed_in": {f"{W}.homework.restoring"},
    "homework/reasons": {f"{W}.homework.restoring"},
    "homework/nursery": {f"{W}.homework.{part}" for part in ("ready", "warming", "worker")},
    "homework/ready": {f"{W}.models"},
    "homework/warming": {f"{W}.figures", f"{W}.models", f"{W}.homework.ready", f"{W}.homework.wire"},
    "homework/sandbox": {f"{W}.homework.{part}" for part in ("nursery", "remedies", "unboxed", "wire")},
    "homework/graded": {f"{W}.homework.names"},
    "homework/replaced": {f"{W}.homework.{part}" for part in ("archives", "graded", "platforms")},
    "homework/gradebook": {f"{W}.homework.graded", f"{W}.homework.names"},
    "homework/tables": {f"{W}.homework.{part}" for part in ("gradebook", "graded", "intake")},
    "homework/waiting": {f"{W}.homework.gradebook"},
    "homework/recognising": {f"{W}.homework.sources"},
    "homework/restoring": {f"{W}.homework.{part}" for part in ("owned", "recognising", "sources")},
    "homework/judge": {f"{W}.exercises.check", *(f"{W}.homework.{part}" for part in (
        "believed", "copies", "handed_in", "reasons", "restoring", "sandbox", "task"))},
    "homework/course": {f"{W}.homework.{part}" for part in ("graded", "gradebook", "intake", "listed", "names", "practice", "tables", "waiting")},
    "homework/grading": {f"{W}.marks", *(f"{W}.homework.{part}" for part in (
        "course", "gradebook", "judge", "names", "sandbox", "tables"))},
    "progress": {f"{W}.marks"},
    "homework/plain": {f"{W}.homework.names", f"{W}.homework.platforms"},
    "homework/chosen": {f"{W}.homework.archives", f"{W}.homework.names", f"{W}.homework.platforms"},
    "homework/intake": {f"{W}.homework.{part}" for part in ("archives", "chosen", "replaced")},
    "homework/collect": {f"{W}.homework.{part}" for part in (
        "archives", "chosen", "intake", "names", "plain", "platforms", "replaced")},
    "homework/practice": {f"{W}.homework.links"},
    "homework/leaks": {f"{W}.homework.opened"},
    "homework/students": {f"{W}.homework.{part}" for part in ("leaks", "links", "practice")},
    "homework/sheets": {f"{W}.homework.names"},
    "homework/exporting": {f"{W}.homework.{part}" for part in ("gradebook", "graded", "intake", "names", "sheets", "tables")},
    "homework/listed": {f"{W}.homework.handed_in"},
    "homework/question": {f"{W}.exercises.check"},
    "homework/oral": {f"{W}.exercises.check", *(f"{W}.homework.{part}" for part in (
        "course", "judge", "names", "own_code", "question", "task"))},
    "homework/gradescope": {f"{W}.marks", *(f"{W}.homework.{part}" for part in (
        "course", "judge", "names", "restoring", "sandbox", "students", "unboxed"))},
    "homework/classroom": {f"{W}.homework.{part}" for part in (
        "exporting", "graded", "gradescope", "names", "oral", "practice", "students")},
    "homework/__main__": {f"{W}.homework.collect", f"{W}.homework.classroom", f"{W}.homework.course", f"{W}.homework.grading", f"{W}.homework.intake", f"{W}.homework.leaks",
                          f"{W}.homework.nursery", f"{W}.homework.unboxed", f"{W}.homework.graded", f"{W}.homework.names"},
}  # fmt: skip
ROOMS = {path.parent.name for path in MODULES}


@pytest.mark.parametrize("path", [m for m in MODULES if m.parent.name != "exercises"], ids=str)
def test_imports_flow_one_way(path):
    place = path.relative_to(ROOT / "walkthrough").with_suffix("").as_posix()
    low = place in ("networks", "models") or place.startswith(("figures/", "homework/"))
    guard = set() if low else {f"{W}.architecture"}  # it may stand above any formula
    assert imports(path) - guard <= ALLOWED.get(place, ALLOWED.get(path.parent.name, set()))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_public_definition_has_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [n for n in ast.walk(tree) if isinstance(n, DEFINITIONS) and not n.name.startswith("_")]
    inherited = {"forward", "backward"}
    assert [n.name for n in public if not ast.get_docstring(n) and n.name not in inherited] == []


def test_the_package_is_made_of_files_with_names_and_of_modest_size():
    assert "utils" not in {path.stem for path in MODULES}
    assert {str(m): n for m in MODULES if (n := len(m.read_text(encoding="utf-8").splitlines())) > 260} == {}


def test_nobody_left_a_note_to_self():
    graders = (ROOT / "notebooks" / "homework" / "graders").glob("*.py")
    for path in [*MODULES, *graders, *Path(__file__).parent.rglob("*.py")]:
        with tokenize.open(path) as file:
            comments = [t.string for t in tokenize.generate_tokens(file.readline) if t.type == tokenize.COMMENT]
        assert not [c for c in comments if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", c)], path


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_ruff_has_nothing_to_say(command):
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", *command.split(), "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert ran.returncode == 0, ran.stdout


def test_shapes_are_enforced_while_tests_run():
    with pytest.raises(Exception, match="previous_token_score"):
        behaviour.previous_token_score(torch.zeros(3, 3))


@pytest.mark.skipif("WALKTHROUGH_UNPLUGGED" not in os.environ, reason="tests/run.py could not unplug the network")
def test_the_network_is_unplugged():
    with pytest.raises(OSError) as error:
        socket.create_connection(("192.0.2.1", 80), timeout=5)
    assert error.value.errno == errno.ENETUNREACH
