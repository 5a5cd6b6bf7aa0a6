"""Exercise 11.1: a training loop, on a network so small that each of its steps can be taken by hand."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Case = tuple[nn.Module, torch.optim.Optimizer, list[Tensor]]


def runs() -> list[Case]:
    """Small networks from token ids to logits, with an optimiser each, and batches of rows of tokens."""
    cases = []
    for seed, (d_vocab, width) in enumerate(((7, 4), (9, 5))):
        generator = torch.Generator().manual_seed(seed)
        model = nn.Sequential(nn.Embedding(d_vocab, width), nn.Linear(width, d_vocab, bias=False))
        for p in model.parameters():
            nn.init.normal_(p, std=0.7, generator=generator)
        kinds = (torch.optim.SGD(model.parameters(), lr=0.5), torch.optim.Adam(model.parameters(), lr=0.05))
        batches = [torch.randint(0, d_vocab, (3, 6), generator=generator) for _ in range(5)]
        cases.append((model, kinds[seed], batches))
    return cases


def loss_after(logits: Tensor, following: Tensor) -> Tensor:
    """Mean cross-entropy of the tokens that follow."""
    return F.cross_entropy(logits.flatten(0, 1), following.flatten())


def learnt(case: Case, *, loss=None, zero=True, step=True, look="before") -> Tensor:
    """The losses of a loop, with parts of it left out or at another place; the case itself is left as it was."""
    model, optimiser, batches = case
    weights = [p.detach().clone() for p in model.parameters()]
    state = {key: value for key, value in optimiser.state_dict().items()}
    loss = loss or (lambda model, rows: loss_after(model(rows[:, :-1]), rows[:, 1:]))
    losses = []
    for rows in batches:
        if zero:
            optimiser.zero_grad()
        now = loss(model, rows)
        now.backward()
        if step:
            optimiser.step()
        losses.append((now if look == "before" else loss(model, rows)).detach())
    with torch.no_grad():
        for p, stored in zip(model.parameters(), weights):
            p.copy_(stored)
            p.grad = None
    optimiser.load_state_dict(state)
    optimiser.state.clear()
    return torch.stack(losses)


def slow_learning(*case) -> Tensor:
    """Step after step, as one would write it out."""
    return learnt(case)


LEARNING_MISTAKES = {
    "gradients pile up from step to step: call optimiser.zero_grad() before each backward()":
        lambda *case: learnt(case, zero=False),
    "nothing is learnt: call optimiser.step() after backward(), and before the gradients are set to zero again":
        lambda *case: learnt(case, step=False),
    "that is each batch's loss after the step on it: store the loss with which the step was taken":
        lambda *case: learnt(case, look="after"),
    "each token is asked to predict itself: the logits at a position are for the token after it":
        lambda *case: learnt(case, loss=lambda model, rows: loss_after(model(rows[:, :-1]), rows[:, :-1])),
    "each token is asked to predict itself, the last one too: cut the last column off for the model, and the first off the targets":
        lambda *case: learnt(case, loss=lambda model, rows: loss_after(model(rows), rows)),
    "each token is asked to predict the one before it: swap inputs and targets":
        lambda *case: learnt(case, loss=lambda model, rows: loss_after(model(rows[:, 1:]), rows[:, :-1])),
    "the loss is summed over positions, where their mean was asked: the steps become larger as well":
        lambda *case: learnt(case, loss=lambda model, rows: rows[:, 1:].numel() * loss_after(model(rows[:, :-1]), rows[:, 1:])),
    "that is the mean over batches: one loss for each batch is asked for":
        lambda *case: learnt(case).mean(),
}  # fmt: skip
