"""Every notebook in a real JupyterLab: all of its cells run, nothing goes wrong, nothing is asked of other hosts.

The solved homeworks, which no student opens, are run too if WALKTHROUGH_ALL is set; nbval runs them anyway.
"""

import os
from itertools import pairwise

import driving
import pytest

COURSE = [path.stem for path in sorted(driving.NOTEBOOKS.glob("*.ipynb"))]
HOMEWORK = [f"homework/{path.stem}" for path in sorted(driving.NOTEBOOKS.glob("homework/*.ipynb"))]
NAMES = [*COURSE, *HOMEWORK] if os.environ.get("WALKTHROUGH_ALL") else COURSE


@pytest.fixture(scope="module")
def run(request, context, lab):
    """Runs notebooks, and opens the next one meanwhile: opening is mostly waiting."""
    mine = [item for item in request.session.items if item.path == request.path and "name" in item.fixturenames]
    after = dict(pairwise(item.callspec.params["name"] for item in mine))
    ahead = {}

    def open_page(name):
        page = context.new_page()
        outside = driving.outside_requests(page, lab)
        driving.open_notebook(page, lab, name)
        return page, outside

    def run_all(name):
        page, outside = ahead.pop(name, None) or open_page(name)
        driving.start_all_cells(page)
        if following := after.get(name):
            ahead[following] = open_page(following)
        page.bring_to_front()
        driving.wait_for_all_cells(page)
        return page, outside

    yield run_all
    for page, _ in ahead.values():
        driving.close(page)


@pytest.mark.parametrize("name", NAMES)
def test_all_cells_of_a_notebook_run(run, name):
    page, outside = run(name)
    troubles = driving.troubles(page)
    if (picture := page.locator(".jp-RenderedImage")).count():
        picture.first.scroll_into_view_if_needed()
    driving.keep_picture(page, name.replace("/", "_"))
    driving.close(page)
    assert troubles == []
    assert outside == []
