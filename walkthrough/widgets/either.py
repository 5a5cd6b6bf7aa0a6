"""A widget that the page may not know, with something to read in its place.

On a hub, JupyterLab often runs in another environment than the kernel. If anywidget is missing there, Lab shows an error
in the widget's place; what is to be read instead stands beside it, and is only seen then.
"""

from typing import Any

import ipywidgets

MISSING = (
    "This JupyterLab cannot show {what}: the environment that it was started from has no anywidget. Whoever runs the server "
    "can install it there (python -m pip install anywidget). {otherwise}"
)
# The error's class is ipywidgets' own. Where there is none, nothing but the widget is to be seen.
STYLE = """<style>
.wt-either > .wt-instead { display: none }
.wt-either:has(.jupyter-widgets-error-widget) > .wt-instead { display: block; height: auto }
.wt-either:has(.jupyter-widgets-error-widget) > :not(.wt-instead) { display: none }
</style>"""


def either(widget: ipywidgets.DOMWidget, instead: str) -> dict[str, Any]:
    """What Jupyter is told to show: the widget, or this HTML where the page fails to load it."""
    if not hasattr(widget, "_either"):
        html = ipywidgets.HTML(STYLE + instead)
        html.add_class("wt-instead")
        widget._either = ipywidgets.VBox([html, widget]).add_class("wt-either")
    return widget._either._repr_mimebundle_()
