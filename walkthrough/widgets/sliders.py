"""Controls in front of figures: no mathematics, and the same figures appear without them."""

import io
from collections.abc import Sequence

import ipywidgets
import matplotlib.pyplot as plt
from jaxtyping import Float
from torch import Tensor

from walkthrough import plots


def attention_browser(patterns: Float[Tensor, "layer head query key"], tokens: Sequence[str]) -> ipywidgets.VBox:
    """Two sliders, layer and head, above the figure of `plots.attention`.

    The figure is a picture that the sliders replace, not an Output widget: that keeps it in the saved notebook.
    """
    n_layers, n_heads = patterns.shape[:2]
    layer = ipywidgets.IntSlider(0, 0, n_layers - 1, description="layer")
    head = ipywidgets.IntSlider(0, 0, n_heads - 1, description="head")
    picture = ipywidgets.Image(format="png", layout={"align_self": "flex-start"})  # else it is stretched

    def draw(_change: object = None) -> None:
        """Put the chosen head's pattern in the picture."""
        ax = plots.attention(patterns[layer.value, head.value], tokens)
        ax.set_title(f"head {layer.value}:{head.value}")
        png = io.BytesIO()
        ax.figure.savefig(png, format="png")
        plt.close(ax.figure)
        picture.value = png.getvalue()

    for slider in (layer, head):
        slider.observe(draw, "value")
    draw()
    return ipywidgets.VBox([layer, head, picture])
