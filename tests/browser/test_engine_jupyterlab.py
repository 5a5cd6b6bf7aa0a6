"""A notebook reopened in JupyterLab, whose kernel knows nothing of its explorers: the page's engine answers instead."""

import shutil

import driving
import pytest

from walkthrough import models
from walkthrough.widgets.page import STATIC

SOURCE = "from walkthrough import widgets\nwidgets.AttentionExplorer('two-layer', 'for i in range(i)')"
TYPED = "def area(self, width):\n    return self.width * width"


@pytest.fixture
def repository(lab):
    """The server's folder, as if the course's repository was open: the engine and the weights are where they are there."""
    parts = [(STATIC / "engine", "walkthrough/widgets/static/engine")]
    for source, target in parts:
        shutil.copytree(source, lab.root / target)
    (lab.root / "walkthrough" / "weights").mkdir()
    for name in ("tokenizer.json", "two-layer.safetensors"):
        shutil.copyfile(models.WEIGHTS / name, lab.root / "walkthrough" / "weights" / name)
    yield lab
    shutil.rmtree(lab.root / "walkthrough")


def test_a_saved_notebook_answers_any_prompt_without_its_kernel(context, page, repository, model):
    lab = repository
    driving.open_notebook(page, lab, lab.write("engine", SOURCE))
    driving.run_all_cells(page)
    page.wait_for_selector(".wt[data-drawn]")
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    again = context.new_page()
    outside = driving.outside_requests(again, lab)
    driving.open_notebook(again, lab, "engine")
    again.wait_for_selector(".wt[data-drawn]")
    driving.ask(again, TYPED)
    count = model.to_tokens(TYPED).shape[1]
    again.wait_for_function("n => document.querySelectorAll('.wt-token').length === n", arg=count)
    typed = TYPED + "\nx"
    again.fill(".wt-prompt", typed.replace("\n", "\\n"))  # from now on as one types
    again.wait_for_function(
        "n => document.querySelectorAll('.wt-token').length === n", arg=model.to_tokens(typed).shape[1]
    )
    pattern = model.run_with_cache(typed)[1]["pattern", 0][0, 0, -1]
    expected = [f"{share:.2f}" if share > 0.0449 else "" for share in pattern.tolist()]
    assert again.locator(".wt-token small").all_inner_texts() == expected
    driving.keep_picture(again, "engine_in_lab")
    driving.close(again)
    assert outside == []
