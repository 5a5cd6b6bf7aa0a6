"""Task 2 of homework 6: two tokens that make a model say a third, judged by running it.

The models are written by hand and hidden by rotations: an induction head that takes some tokens for others, and says
some tokens for others. Decoys lie beside: like embeddings, what the head would match without composition, its QK table
read the wrong way round, tokens that raise the third loudly and themselves still more, the direct path.
"""

import itertools

import torch
from torch import Tensor

from walkthrough import models

N_CTX = 24


def hidden(n: int, seed: int):
    """A two-layer model of n tokens, its heads (previous, late), and which tokens are said for which."""
    generator = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.rand(*shape, generator=generator)
    d_model = N_CTX + 3 * n + n % 2
    network = models.PaperModel(models.config(2, d_model=d_model, n_heads=2, n_ctx=N_CTX, d_vocab=n), seed)
    W_pos, d_head = network.pos.weight.data.double(), d_model // 2
    noise = torch.randn(d_model, d_model - N_CTX, generator=generator).double()
    frame = torch.linalg.qr(torch.cat([W_pos.T, noise], 1)).Q.T
    token, note, out = (frame[N_CTX + i * n : N_CTX + (i + 1) * n] for i in range(3))
    turn = lambda: torch.linalg.qr(torch.randn(d_head, d_head, generator=generator)).Q.double()[:n]
    ring = 1 + torch.randperm(n - 1, generator=generator)  # every token but <BOS>, in a circle
    ahead = lambda by: torch.zeros(n, n).index_put((ring, ring.roll(-by)), torch.ones(()))
    third = len(ring) // 3
    misquoted, loud = ring[:third], ring[third : 2 * third]  # the same circle: a token said for one that follows
    said_for = ring.roll(-2 * third)[:third]

    embed = torch.eye(n) + (0.4 + 0.4 * rand(n, 1)) * ahead(3)
    match = 4 * rand(n, n) + 30 * torch.eye(n) + 20 * ahead(1)
    direct_match = 3 * rand(n, n) + 4 * ahead(5)
    direct_match[:, 0], match[:, 0], match[0] = 10, 0, 0
    said = 2 * rand(n, n) + 15 * torch.eye(n)
    said[misquoted, misquoted], said[misquoted, said_for] = 9, 16
    said[loud, loud], said[loud, said_for] = 28, 20
    said[0] = 0
    bigrams = 2 * rand(n, n) + 4 * ahead(7).T

    one_hot = token.T @ torch.linalg.inv(embed.double())  # what reads which token it is
    place = torch.linalg.pinv(W_pos)
    shift = torch.eye(N_CTX).double().roll(-1, 1)
    shift[0] = torch.eye(N_CTX)[0]
    previous, late = torch.randint(2, (2,), generator=generator).tolist()
    with torch.no_grad():
        network.tok_embed.weight.copy_(embed.double() @ token)
        network.head.weight.copy_((out.T + one_hot @ bigrams.double()).T)
        for block, head in zip(network.layers, (previous, late)):
            block.attn.o.weight.mul_(0.3)
            rows, root, first, second = slice(head * d_head, (head + 1) * d_head), d_head**0.5, turn(), turn()
            if block is network.layers[0]:
                q, k = 40 * root * place @ shift @ first[:N_CTX], place @ first[:N_CTX]
                v, o = one_hot @ second, second.T @ note
            else:
                q = root * one_hot @ first
                k = (note.T @ match.double().T + one_hot @ direct_match.double().T) @ first
                v, o = one_hot @ second, second.T @ said.double() @ out
            for linear, W in ((block.attn.q, q), (block.attn.k, k), (block.attn.v, v)):
                linear.weight[rows] = W.T.float()
            block.attn.o.weight[:, rows] = o.T.float()
    return models.bridge(network, name="tiny"), (0, previous), (1, late), misquoted, said_for


def targets(seed: int) -> list[tuple]:
    """Models of two sizes, two targets each: the model, its two heads, the last token, and the one it should say."""
    cases = []
    for i, n in enumerate((31, 36)):
        model, previous, late, misquoted, said_for = hidden(n, seed + i)
        generator, found = torch.Generator().manual_seed(seed + i), []
        places = itertools.product(range(len(misquoted)), range(1, n))
        match, said = tables(model, previous, late)
        for pick, last in sorted(places, key=lambda _: torch.rand((), generator=generator).item()):
            wrong, instead = said_for[pick].item(), misquoted[pick].item()
            if last not in (wrong, instead) and wrong not in {each[4] for each in found}:
                firsts = [best(match[last], last, wrong), *decoys_for_first(model, match, late, last, wrong)]
                seconds = [instead, *decoys_for_second(model, said, last, wrong)]
                clear = len({*firsts, instead}) == len({*seconds, firsts[0]}) == 5
                pairs = [(first, instead) for first in firsts] + [(firsts[0], second) for second in seconds[1:]]
                wins = [success(model, *pair, last, wrong) for pair in pairs] if clear else [0.0]
                if wins[0] > 0.98 and max(wins[1:]) < 0.5:
                    unused = hidden(n, seed + i)[0]  # a bridge that has run cannot be copied well
                    found.append((unused, previous, late, last, wrong))
            if len(found) == 2:
                break
        cases += found
    return cases


def success(model, first: int, second: int, last: int, wrong: int, n: int = 48) -> float:
    """In how many random texts that hold the two tokens side by side, and end in `last`, the model says `wrong`."""
    generator = torch.Generator().manual_seed(1000 * last + wrong)
    pool = torch.tensor([t for t in range(1, model.cfg.d_vocab) if t not in (first, second, last, wrong)])
    rows = pool[torch.randint(len(pool), (n, N_CTX), generator=generator)]
    places = torch.randint(1, N_CTX - 3, (n,), generator=generator)
    rows[:, 0], rows[:, -1] = 0, last
    rows[range(n), places], rows[range(n), places + 1] = first, second
    return (model(rows)[:, -1].argmax(-1) == wrong).float().mean().item()


def tables(model, previous: tuple, late: tuple) -> tuple[Tensor, Tensor]:
    """What the late head matches [query token, token that the previous-token head saw], and what it says [token, out]."""
    keys = model.W_E @ model.W_V[previous] @ model.W_O[previous] @ model.W_K[late]
    return (model.W_E @ model.W_Q[late]) @ keys.T, model.W_E @ model.W_V[late] @ model.W_O[late] @ model.W_U


def best(scores: Tensor, *but: int) -> int:
    """The largest but for `<BOS>` and some others."""
    scores = scores.clone()
    scores[[0, *but]] = -torch.inf
    return scores.argmax().item()


def margins(said: Tensor, wrong: int) -> Tensor:
    """By how much each token raises `wrong` above the best of all others."""
    others = said.clone()
    others[:, wrong] = -torch.inf
    return said[:, wrong] - others.amax(1)


def hijacks(answer, model, previous: tuple, late: tuple, last: int, wrong: int) -> str | None:
    """Why two tokens do not make the model say `wrong`; None if they do."""
    try:
        first, second = (int(token) for token in answer)
    except (TypeError, ValueError, RuntimeError):
        return "return two tokens, as numbers: the first and the second of the pair"
    if not all(0 < token < model.cfg.d_vocab for token in (first, second)):
        return "there is no such token in this vocabulary, or it is `<BOS>`: is the answer hard-coded to the example?"
    if last in (first, second):
        return "the filter refuses this: the last token may not come before"
    if wrong in (first, second):
        return "the filter refuses this: the token that the model should say may not be in the prompt"
    if success(model, first, second, last, wrong) >= 0.9:
        return None
    match, said = tables(model, previous, late)
    taken, instead = best(match[last], last, wrong), best(margins(said, wrong), last, wrong)
    if success(model, first, instead, last, wrong) >= 0.9:
        return wrong_second(model, said, second, last, wrong)
    if success(model, taken, second, last, wrong) >= 0.9:
        return wrong_first(model, match, late, first, last, wrong)
    if success(model, second, first, last, wrong) >= 0.9:
        return "the two tokens in the other order would do it: what stands BEHIND the matched token is what is said"
    return "neither token does its part: the head is not led to the pair, and would not say the wrong token there"


def decoys_for_first(model, match: Tensor, late: tuple, last: int, wrong: int) -> list[int]:
    """Tokens that a usual mistake takes for the first: the table transposed, no composition, like embeddings."""
    alone = (model.W_E @ model.W_Q[late]) @ (model.W_E @ model.W_K[late]).T
    alike = torch.cosine_similarity(model.W_E, model.W_E[last : last + 1])
    return [best(scores, last, wrong) for scores in (match[:, last], alone[last], alike)]


def decoys_for_second(model, said: Tensor, last: int, wrong: int) -> list[int]:
    """Tokens that a usual mistake takes for the second: the loudest, the direct path's, the OV table transposed."""
    direct = model.W_E @ model.W_U
    return [best(scores, last, wrong) for scores in (said[:, wrong], direct[:, wrong], said[wrong])]


def wrong_second(model, said: Tensor, second: int, last: int, wrong: int) -> str:
    """The head is led to the right place, and says something else there."""
    ok = "the head is led to your pair, but does not say the wrong token there: "
    sentences = (
        "your second token raises it most of all, and another token more",
        "your second token is the best of the direct path, which reads only the last token",
        "the OV table is read the wrong way round: rows are what is looked at",
    )
    known = dict(zip(decoys_for_second(model, said, last, wrong), sentences))
    return ok + known.get(second, "which token does its OV circuit turn into the wrong one?")


def wrong_first(model, match: Tensor, late: tuple, first: int, last: int, wrong: int) -> str:
    """The second token is right, but the head is not led there."""
    no = "the second token would do, but the head is not led there: "
    sentences = (
        "the table is read the wrong way round; your first token, as a query, would be led to the last one",
        "your first token is what the head matches at the key's own place; who wrote what stands behind it?",
        "like embeddings need not look alike to a head: read its own matrices",
    )
    known = dict(zip(decoys_for_first(model, match, late, last, wrong), sentences))
    return no + known.get(first, "which token does it take for the last one?")
