"""`python tests/regenerate.py notebooks/*.ipynb` executes notebooks in place; doing it twice writes the same bytes."""

import hashlib
import json
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def stable_widget_ids(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Number the widget models by the order in which they are shown; drop those never shown."""
    saved = nb.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    state = saved.get("state", {})
    order: list[str] = []

    def walk(model_id: str) -> None:
        if model_id in state and model_id not in order:
            order.append(model_id)
            for child in re.findall(r"IPY_MODEL_([0-9a-f]{32})", json.dumps(state[model_id], sort_keys=True)):
                walk(child)

    for shown in re.findall(r'"model_id": "([0-9a-f]{32})"', nbformat.writes(nb)):
        walk(shown)
    for never_shown in set(state) - set(order):
        del state[never_shown]
    text = nbformat.writes(nb)
    for number, model_id in enumerate(order):
        text = text.replace(model_id, hashlib.md5(str(number).encode()).hexdigest())
    nb = nbformat.reads(text, 4)
    if order:
        saved = nb.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]
        saved["state"] = dict(sorted(saved["state"].items()))
    return nb


def join_streams(nb: nbformat.NotebookNode) -> None:
    """Printed lines that arrived in several messages become one output: how they were split is chance."""
    for cell in nb.cells:
        joined: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        if "outputs" in cell:
            cell.outputs = joined


def regenerate(path: Path, timeout: int = 600) -> None:
    """Run a notebook from top to bottom on a fresh kernel and store what it showed."""
    nb = nbformat.read(path, 4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(nb, timeout=timeout, kernel_name="python3", record_timing=False, resources=resources).execute()
    nb.metadata["language_info"] = {"name": "python"}  # the kernel's own names a Python version
    join_streams(nb)
    nbformat.write(stable_widget_ids(nb), path)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        regenerate(Path(argument))
