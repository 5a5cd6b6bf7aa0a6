"""Exercise 5.4: shuffles of a vocabulary in which every token is replaced by one of its own kind."""

import torch
from torch import Tensor


def kinds_to_shuffle() -> list[tuple[Tensor, int]]:
    """Kinds of two, three, four and one members, their tokens scattered; their numbers are not 0, 1, 2, …"""
    return [(torch.tensor([4, 1, 4, 7, 1, 9, 1, 7, 4, 7, 12, 7, 12]), 300), (torch.tensor([3, 0, 3, 0, 3]), 200)]


def judge_shuffles(answer, kinds: Tensor, n_shuffles: int) -> str | None:
    """Orders of the vocabulary, each token at a place of its kind, and every such order as likely as any other."""
    try:
        orders = torch.stack(list(answer)) if isinstance(answer, (list, tuple)) else torch.as_tensor(answer)
    except (TypeError, ValueError, RuntimeError):
        return f"a tensor of orders was expected, and your answer is of type {type(answer).__name__}"
    if orders.shape != (n_shuffles, len(kinds)):
        return f"wrong shape: yours is {list(orders.shape)}, it should be {[n_shuffles, len(kinds)]}, a row for each shuffle"
    if orders.is_floating_point() or orders.is_complex() or orders.dtype == torch.bool:
        return "orders are used as indices, B[:, order]: return whole numbers"
    everyone = torch.arange(len(kinds))
    if all(
        (orders[:, kinds == kind].sort(-1).values == everyone[: (kinds == kind).sum()]).all() for kind in kinds.unique()
    ):
        return "randperm(n) numbers the members of a kind, it does not say which tokens they are: members[torch.randperm(n)]"
    if not (orders.sort(-1).values == everyone).all():
        return "a row is no order of the vocabulary: some tokens come twice and others not at all"
    if not (kinds[orders] == kinds).all():
        grouped = (kinds[orders].diff(dim=-1) >= 0).all()
        return (
            "the kinds were put one after the other: a member of a kind has to stand at a place of that kind"
            if grouped
            else "a token was replaced by one of another kind: shuffle the members of each kind among their own places"
        )
    if (orders == everyone).all():
        return "nothing was moved: every row is the old order"
    if (orders == orders[0]).all():
        return "all shuffles are the same: draw a new order for each row"
    return uneven(orders, kinds)


def uneven(orders: Tensor, kinds: Tensor) -> str | None:
    """Whether some orders of a kind's members come too rarely to be drawn evenly: how often each stays in its place."""
    stays = (orders == torch.arange(len(kinds))).double().mean(0)
    for token, share in enumerate(stays.tolist()):
        size = int((kinds == kinds[token]).sum())
        if size > 1 and share == 1:
            return "tokens of some kinds never move: go through all of kinds.unique()"
        expected = 1 / size
        if abs(share - expected) > 6 * (expected * (1 - expected) / len(orders)) ** 0.5:
            much = "too rarely" if share < expected else "too often"
            return (
                f"a token of a kind with {size} members stays in its place {much}, in {share:.0%} of the shuffles: "
                "every order of the members should be equally likely, as torch.randperm draws them"
            )
    return None
