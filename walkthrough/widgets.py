"""Controls in front of figures: no mathematics, and the same figures appear without them."""

from collections.abc import Sequence

import ipywidgets
import matplotlib.pyplot as plt
from jaxtyping import Float
from torch import Tensor

from walkthrough import plots


def attention_browser(
    patterns: Float[Tensor, "layer head query key"], tokens: Sequence[str]
) -> ipywidgets.interactive:
    """Two sliders, layer and head, in front of `plots.attention`."""

    def show(layer: int, head: int) -> None:
        ax = plots.attention(patterns[layer, head], tokens)
        ax.set_title(f"head {layer}:{head}")
        plt.show()

    n_layers, n_heads = patterns.shape[:2]
    return ipywidgets.interactive(show, layer=(0, n_layers - 1), head=(0, n_heads - 1))
