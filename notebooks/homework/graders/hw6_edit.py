"""Task 1 of homework 6: the least change of a head that makes one effect what is wanted, and leaves some streams alone."""

import torch
from torch import Tensor


def edits(seed: int) -> list[tuple]:
    """Heads, what is read and where it is to go, streams to keep, and the wanted effect; W_V and W_O are cheaper by turns."""
    cases, wanted = [], ("V", "O", "O", "V")
    for i, (d_model, d_head, n_kept) in enumerate(((12, 4, 2), (10, 4, 2), (14, 5, 3), (9, 3, 1))):
        generator = torch.Generator().manual_seed(seed + i)
        while True:
            W_V, W_O = (
                torch.randn(d_model, d_head, generator=generator),
                torch.randn(d_head, d_model, generator=generator),
            )
            W_V = W_V * (0.3 + 2 * torch.rand(d_head, generator=generator))
            stream, read = torch.randn(2, d_model, generator=generator)
            kept = torch.randn(n_kept, d_model, generator=generator) + torch.randn(d_model, generator=generator)
            stream = stream + kept.mean(0) + W_V @ torch.randn(d_head, generator=generator) * (wanted[i] == "O")
            read = read + torch.randn(d_head, generator=generator) @ W_O * (wanted[i] == "V")
            read = read * (1 + 3 * torch.rand((), generator=generator)) / (stream @ W_V @ W_O @ read)
            old = (stream @ W_V @ W_O @ read).item()
            value = (-1.5, old + 3.0, 2.0, -old / 2)[i]
            sizes = {which: size(W_V, W_O, which, parts(W_V, W_O, stream, read, kept, which), stream, read, value)
                     for which in "VO"}  # fmt: skip
            other = sizes["O" if wanted[i] == "V" else "V"]
            case = (W_V, W_O, stream, read, kept, value)
            itself = min(own_norm(*(x.double() for x in case[:5]), value, which) / sizes[which] for which in "VO")
            if (
                sizes[wanted[i]] < 0.8 * other
                and itself > 1.02
                and min(abs(old), abs(value), abs(value - old), abs(value - 2 * old)) > 0.5
            ):
                break
        cases.append(case)
    return cases


def parts(W_V: Tensor, W_O: Tensor, stream: Tensor, read: Tensor, kept: Tensor, which: str) -> tuple[Tensor, Tensor]:
    """The two sides of the least change of W_OV by one matrix, unscaled: by a projection on all that is allowed."""
    W_V, W_O, stream, read, kept = (x.double() for x in (W_V, W_O, stream, read, kept))
    allowed = torch.eye(len(stream)).double()
    if which == "O":
        allowed = W_V @ torch.linalg.pinv(W_V)
    blocked = (allowed @ kept.T).T
    left = allowed @ stream
    left = left - blocked.T @ torch.linalg.lstsq(blocked.T, left[:, None], driver="gelsd").solution[:, 0]
    right = torch.linalg.pinv(W_O) @ W_O @ read if which == "V" else read
    return left, right


def size(W_V, W_O, which: str, sides: tuple[Tensor, Tensor], stream: Tensor, read: Tensor, value: float) -> float:
    """The Frobenius norm of the change of W_OV that a pair of sides needs."""
    left, right = sides
    stream, read = stream.double(), read.double()
    change = value - stream @ W_V.double() @ W_O.double() @ read
    return (change / ((stream @ left) * (right @ read)) * left.norm() * right.norm()).abs().item()


def least_size(W_V, W_O, stream, read, kept, value: float, which: str) -> float:
    """The least norm, by a slow road that knows nothing of rank one: the shortest solution of the linear equations.

    The unknown is the change D of one matrix, in coordinates in which the norm of what it adds to W_OV is its own. The
    equations: what is kept writes the same, and the effect is as wanted.
    """
    W_V, W_O, stream, read, kept = (x.double() for x in (W_V, W_O, stream, read, kept))
    if which == "V":
        out = torch.linalg.qr(W_O.T).Q.T  # W_O = (triangle) · out, so D W_O = D' out, and the norm is that of D'
        held = torch.kron(kept, torch.eye(len(out)).double())
        effect = torch.kron(stream, out @ read)
    else:
        into = torch.linalg.qr(W_V).Q  # W_V D = into · D'
        held = torch.kron(kept @ into, torch.eye(len(read)).double())
        effect = torch.kron(stream @ into, read)
    goal = torch.zeros(len(held) + 1).double()
    goal[-1] = value - stream @ W_V @ W_O @ read
    rows = torch.cat([held, effect[None]])
    return torch.linalg.lstsq(rows, goal[:, None], driver="gelsd").solution.norm().item()


def least_edit(answer, W_V, W_O, stream, read, kept, value: float) -> str | None:
    """What is wrong with a new W_V and W_O said to be the least edit."""
    try:
        new_V, new_O = (torch.as_tensor(W).detach().double() for W in answer)
    except (TypeError, ValueError, RuntimeError):
        return "return two tensors, the new W_V and the new W_O"
    if (new_V.shape, new_O.shape) != (W_V.shape, W_O.shape):
        if (new_O.shape, new_V.shape) == (W_V.shape, W_O.shape):
            return "the two matrices come in the wrong order: W_V first, then W_O"
        if new_V.shape[-1:] == (W_V.shape[1] + 1,) or new_V.shape == (len(W_V), len(W_V)):
            return "your head has more than d_head dimensions: a change of one matrix leaves it as many as it had"
        return f"your shapes are {list(new_V.shape)} and {list(new_O.shape)}, not those of the head that was given: is it hard-coded to the example?"
    if not (new_V.isfinite().all() and new_O.isfinite().all()):
        return "your matrices hold nan or infinity"
    W_V, W_O, stream, read, kept = (x.double() for x in (W_V, W_O, stream, read, kept))
    moved = [(new - old).norm() / old.norm() for new, old in ((new_V, W_V), (new_O, W_O))]
    if max(moved) < 1e-6:
        return "your function returned what it was given"
    if min(moved) > 1e-5:
        return "both matrices have changed: one of them is to stay as it is"
    old = (stream @ W_V @ W_O @ read).item()
    return missed((stream @ new_V @ new_O @ read).item(), old, value) or spoilt(
        new_V, new_O, W_V, W_O, stream, read, kept, value
    )


def missed(new: float, old: float, value: float) -> str | None:
    """Whether the effect is another than the wanted one, and in what way."""
    near = lambda target: abs(new - target) < 2e-3 * max(1.0, abs(value - old))
    if near(value):
        return None
    for target, sentence in (
        (old, "the effect is what it was: your change is at right angles to what was asked"),
        (old + value, "the wanted effect was added to the old one: it is what the effect should BE"),
        (2 * old - value, "the change has the wrong sign: add what is wanted less what there is"),
        (0.0, "the effect is gone, and not what is wanted: you took the stream's part out whole"),
    ):
        if near(target):
            return sentence
    return "the effect on the logits is not the wanted one"


def spoilt(new_V, new_O, W_V, W_O, stream, read, kept, value: float) -> str | None:
    """Whether streams to be kept are not, or whether a smaller change would do."""
    change = new_V @ new_O - W_V @ W_O
    wrote = (kept @ change).norm() / kept.norm() / change.norm()
    if wrote > 1e-3:
        if (kept @ change @ read).abs().max() < 1e-3 * change.norm() * kept.norm() * read.norm():
            return "the kept streams keep this one logit only: all that the head writes for them is to stay"
        if (kept[-1] @ change).norm() < 1e-3 * kept[-1].norm() * change.norm():
            return "the last of the kept streams is kept, the others are not: they are not at right angles, and what was taken out came back"
        return "what the head writes from the kept streams has changed"
    sizes = {which: least_size(W_V, W_O, stream, read, kept, value, which) for which in "VO"}
    mine, which = change.norm().item(), "V" if (new_V - W_V).norm() > (new_O - W_O).norm() else "O"
    if mine < min(sizes.values()) * (1 + 2e-3):
        return None
    if mine < sizes[which] * (1 + 2e-3):
        better = {"V": "W_O", "O": "W_V"}[which]
        return (
            f"all is as asked, and no change of the matrix that you chose is smaller; but here a change of {better} is"
        )
    if abs(mine - own_norm(W_V, W_O, stream, read, kept, value, which)) < 2e-3 * mine:
        return (
            f"all is as asked, with the least change of W_{which} itself: the change of W_V W_O is what should be least"
        )
    return "all is as asked, but a smaller change of W_V W_O would do"


def own_norm(W_V, W_O, stream, read, kept, value: float, which: str) -> float:
    """The norm of what is added to W_OV where the norm of the change of W_V, or W_O, by itself is least."""
    if which == "V":
        left, right = parts(W_V, W_O, stream, read, kept, "V")[0], W_O.T @ (W_O @ read)
        return size(W_V, W_O, which, (left, right), stream, read, value)
    blocked, into = (kept @ W_V).T, stream @ W_V
    into = into - blocked @ torch.linalg.lstsq(blocked, into[:, None], driver="gelsd").solution[:, 0]
    return size(W_V, W_O, which, (W_V @ into, read), stream, read, value)
