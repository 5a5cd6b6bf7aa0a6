"""Questions for a talk about each homework, in `oral.md`, and what a question about a number needs besides its words.

The command `oral` chooses three for each student.
"""

from pathlib import Path

import torch
from torch import Tensor

from graders.hw3_forced import passes
from walkthrough.homework.question import questions


def other_last_token(model, tokens):
    """The same prompts with another last token."""
    tokens = tokens.clone()
    tokens[:, -1] = 1 + tokens[:, -1] % (model.cfg.d_vocab - 1)
    return model, tokens


def other_basis(W_V, W_O):
    """The same chain, its first head written with W_V doubled and W_O halved."""
    W_V, W_O = W_V.clone(), W_O.clone()
    W_V[0], W_O[0] = 2 * W_V[0], W_O[0] / 2
    return W_V, W_O


def what_follows(answer, raised: Tensor, known: Tensor) -> str:
    """How many of the table's numbers are forced, and which one more would force most."""
    ones = torch.ones(known.shape)  # which numbers follow does not depend on what they are
    has = passes(ones, known, known.numel())[1]
    told = {tuple(place): known.clone().index_put(tuple(torch.tensor(place)), torch.tensor(True))
            for place in (~has).nonzero().tolist()}  # fmt: skip
    after = {place: passes(ones, also, also.numel())[1].sum() - has.sum() for place, also in told.items()}
    best = max(after, key=after.get)
    return (f"Of the {(~known).sum()} numbers that nobody measured {has.sum() - known.sum()} are forced. A measurement at "
            f"{list(best)} settles {after[best]} more, itself among them, and none settles more than that.")  # fmt: skip


def what_was_edited(answer, W_V, W_O, stream, read, kept, wanted) -> str:
    """Which matrix is another one now, and what is moved from the stream to the logit."""
    new_V, new_O = (torch.as_tensor(W).double() for W in answer)
    changed = [
        name for name, new, old in (("W_V", new_V, W_V), ("W_O", new_O, W_O)) if not torch.allclose(new, old.double())
    ]
    size = (new_V @ new_O - W_V.double() @ W_O.double()).norm()
    moved = stream.double() @ new_V @ new_O @ read.double()
    return (f"This answer changed {' and '.join(changed) or 'nothing'}, and W_V W_O by {size:.3g}. "
            f"The number is {moved:.3g}; {wanted:.3g} was wanted.")  # fmt: skip


def ranks(answer, *inputs) -> str:
    """How many ranks each head got."""
    return f"The heads got these numbers of ranks: {', '.join(str(W_V.shape[1]) for W_V, *_ in answer)}."


MORE = {
    "hw1-1": {"change": other_last_token},
    "hw1-2": {"first": 1},
    "hw1-3": {"change": lambda text, d_vocab, gap, alpha: (text, d_vocab, gap, 1000.0)},
    "hw1-4": {"change": lambda W_E, W_U, share, rank: (W_E, W_U, share, W_E.shape[1])},
    "hw2-1": {"change": lambda model, tokens, changed, layer, head: (model, tokens, tokens, layer, head)},
    "hw2-2": {"change": lambda model, tokens, head, answer, rival: (model, tokens, head, rival, answer)},
    "hw3-1": {"change": lambda model, tokens, position, answer, rival: (model, tokens, position, rival, answer)},
    "hw3-3": {"also": what_follows},
    "hw3-4": {"change": lambda A, B: (2 * A, B)},
    "hw4-2": {"change": other_basis},
    "hw4-3": {"first": 1},
    "hw4-4": {"first": 2},
    "hw4-5": {"change": lambda model, tokens, others, *rest: (model, tokens, tokens, *rest)},
    "hw5-1": {"change": lambda model, controls: (model, [model, *controls[1:]])},
    "hw5-2": {"change": lambda model, prompts, without, outs: (model, prompts, prompts, outs)},
    "hw6-1": {"first": 1, "also": what_was_edited},
    "hw6-3": {"first": 2, "also": ranks},
}
TASKS = questions(Path(__file__).with_name("oral.md"), MORE)
