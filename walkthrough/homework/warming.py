"""What nearly every homework's cells do for the first time, done once: a model run, a matrix taken apart, a figure drawn, an error shown.

Libraries put off work until it is first needed: they import, read fonts, compile patterns. Done in the nursery before it
forks, this is done for a whole class. It leaves no result behind, and random numbers are as they were.
"""

import importlib
import io
import sys

import torch
from einops import einsum
from IPython.core.ultratb import AutoFormattedTB
from matplotlib import pyplot as plt

from walkthrough import figures, models
from walkthrough.homework import ready

MODULES = ("walkthrough.behaviour", "walkthrough.bigrams", "walkthrough.corpus", "walkthrough.interventions",
           "walkthrough.one_layer.skip_trigrams", "walkthrough.two_layers.composition", "walkthrough.two_layers.induction",
           "walkthrough.homework.worker", "IPython.core.completerlib", "ipykernel.debugger",
           *(f"IPython.core.magics.{name}" for name in ("basic", "extension", "packaging", "pylab")))  # fmt: skip


def warm() -> None:
    """Do all of it. No gradient is asked for: the threads that torch starts for one do not outlive a fork."""
    for name in MODULES:
        importlib.import_module(name)
    state = torch.get_rng_state()
    with torch.no_grad():
        run_a_model()
        take_apart()
        go_wrong()
    ready.stock()
    torch.set_rng_state(state)
    draw()


def run_a_model() -> None:
    """Load, tokenise, run, run with hooks."""
    from walkthrough.homework import wire

    model = models.load(models.SMALL[0])
    tokens = model.to_tokens("import numpy as np\n")
    model.to_str_tokens(tokens)
    _, cache = model.run_with_cache(tokens)
    cache["pattern", 0], model.OV
    model.run_with_hooks(tokens, fwd_hooks=[("hook_embed", lambda value, hook: value)])
    wire.unpack(wire.pack([models.tiny(2), tokens], ours=True), ours=True)


def take_apart() -> None:
    """The routines of linear algebra, of which each kind is set up when it is first called."""
    matrix = torch.randn(32, 32)
    for square in (matrix, matrix.double()):
        (
            torch.linalg.svd(square),
            torch.linalg.eigvals(square),
            torch.linalg.inv(square),
            torch.linalg.eigh(square @ square.T),
        )
        torch.linalg.qr(square), torch.kron(square, square), square.softmax(-1)


def go_wrong() -> None:
    """Errors, laid out as a notebook shows them, for which the files that they came through are read and parsed."""
    model, matrix = models.tiny(1), torch.ones(2, 3)
    laid_out = AutoFormattedTB(mode="Context")
    for failing in (
        lambda: model.run_with_cache(matrix),  # in torch, called by the network, called by TransformerLens
        lambda: models.load(models.SMALL[0]).to_single_token("two tokens and more"),
        lambda: models.load("none"),
        lambda: einsum(matrix, matrix, "row column, column row -> row"),
        lambda: matrix.frist,
    ):
        try:
            failing()
        except Exception:
            laid_out.structured_traceback(*sys.exc_info())


def draw() -> None:
    """A figure of two parts with everything that figures have, written as the notebook's are."""
    fig, axes = plt.subplots(2, 1, layout="constrained")
    image = axes[0].imshow([[0.0, 1.0], [2.0, 3.0]], cmap="Purples")
    fig.colorbar(image, ax=axes[0], label="length")
    axes[1].plot([1, 10], [0.1, 10.0], label="line")
    axes[1].bar(["a", "b"], [1, 2])
    axes[1].set(title="title", xlabel="x", ylabel="y", yscale="log")
    axes[1].legend()
    figures.basics.label_tokens(axes[0], ["a", "b"], ["c", "d"])
    fig.savefig(io.BytesIO(), format="png", bbox_inches="tight")
    plt.close(fig)
