"""Skip-trigrams `source … destination → out`, in the weights and in runs; and a one-layer model as a lookup table."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from walkthrough.circuits import ov_circuit, qk_circuit
from walkthrough.models import check_head, head_weights
from walkthrough.searches import relative_to


class SkipTrigram(NamedTuple):
    """`source`, somewhere before, makes `destination` expect one of `outs`: texts, each one token of the model."""

    source: str
    destination: str
    outs: tuple[str, ...]
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.source!r} … {self.destination!r} → {' '.join(map(repr, self.outs))}"

    def ids(self, model) -> tuple[int, int, list[int]]:
        """Token ids of source, destination and outs; ValueError for a text that is not one token of the model."""
        source, destination, *outs = map(model.to_single_token, (self.source, self.destination, *self.outs))
        return source, destination, outs


ROWS = (  # "paper": of its tables; "adapted": said with tokens that we have; "lab": an earlier run of ours showed it
    SkipTrigram("\n" + 11 * " ", "\n" + 7 * " ", (" else", " elif", " except"), "adapted"),  # last space: in the word
    SkipTrigram(" open", ' "', ("r", "w"), "adapted"),
    SkipTrigram(" def", "(", ("self",), "paper"),
    SkipTrigram(" super", ")", (".__",), "adapted"),
    SkipTrigram(" for", " in", (" range", " enumerate", " sorted", " zip"), "paper"),
    SkipTrigram("upper", ".", ("upper", "lower"), "paper"),
    SkipTrigram("datetime", ".", ("date", "time", "now"), "paper"),
    SkipTrigram("np", ".", ("array", "zeros", "arange"), "adapted"),
    SkipTrigram("torch", ".", ("Tensor", "nn", "zeros"), "adapted"),
    SkipTrigram("%", '"', (" %",), "adapted"),
    SkipTrigram("('", "name", ("')",), "paper"),  # the paper's X is any token: here a common word
    SkipTrigram('["', "name", ('"]',), "adapted"),
    SkipTrigram("lambda", "=", ("lambda",), "adapted"),
    SkipTrigram(" with", '")', (" as",), "lab"),
    SkipTrigram(" isinstance", ",", (" str", " int"), "lab"),
    SkipTrigram("pytest", ".", ("raises", "skip"), "lab"),
    SkipTrigram(" except", ":", (" as",), "lab"),
    SkipTrigram("height", "_", ("width",), "lab"),
)
ABSENT = ("rb", "wb", "tqdm", ").__", '"%', "**)", "tf", "QtWidgets", "pygame")  # in the paper's rows, no token of ours
SCORES = "token_token", "token_pos", "pos_token", "pos_pos"  # a head's tables of attention scores: query, then key


def strengths(
    model, source: Int[Tensor, " pair"], destination: Int[Tensor, " pair"], outs: Int[Tensor, "choice out"]
) -> Float[Tensor, "head pair choice"]:
    """What each head of a one-layer model adds to outs, in logits, if it can look at nothing but source and <BOS>.

    sigmoid(QK of source - QK of <BOS>), without positions, times OV, averaged over a choice of outs, less its row's
    mean. Raises ValueError for a model with no layer (Elhage et al. 2021, "Interpretation as Skip-Trigrams").
    """
    check_head(model, 0)
    added = []
    for head in range(model.cfg.n_heads):
        qk, ov = relative_to(qk_circuit(model, 0, head)), ov_circuit(model, 0, head)
        log_odds = (qk.A[destination] * qk.B[:, source].T).sum(-1)
        moved = ov.A[source] @ (ov.B[:, outs].mean(-1) - ov.B.mean(-1, keepdim=True))
        added.append(log_odds.sigmoid()[:, None] * moved)
    return torch.stack(added)


class Weighed(NamedTuple):
    """The strongest head, its strength and that of all heads together, and the shares of random tokens as strong."""

    head: int
    strength: float
    all_heads: float
    p_source: float
    p_out: float


def weigh(
    model, source: int, destination: int, outs: list[int], pool: Int[Tensor, " choice"], seed: int = 0
) -> Weighed:
    """A skip-trigram's strength in its best head, against the best heads of others with tokens of `pool` put in.

    `p_source` is the share of sources, itself included, that are as strong for the same destination and outs; `p_out`
    that of outs, in random sets of the same size. Each is in its own best head, so there is nothing to correct for.
    """
    generator = torch.Generator().manual_seed(seed)
    sources = torch.cat([torch.tensor([source]), pool[pool != source]])
    shuffled = torch.stack([pool[torch.randperm(len(pool), generator=generator)] for _ in outs], -1)
    by_source = strengths(model, sources, torch.full_like(sources, destination), torch.tensor([outs]))[:, :, 0]
    choices = torch.cat([torch.tensor([outs]), shuffled[(shuffled != torch.tensor(outs)).any(-1)]])
    by_out = strengths(model, sources[:1], torch.tensor([destination]), choices)[:, 0]
    p_source, p_out = ((best >= best[0] - 1e-6).float().mean().item() for best in (by_source.amax(0), by_out.amax(0)))
    own = by_source[:, 0]
    return Weighed(own.argmax().item(), own.max().item(), own.sum().item(), p_source, p_out)


def with_and_without(
    model, source: int, destination: int, windows: Int[Tensor, "window pos"], pool: Int[Tensor, " choice"],
    n_contexts: int = 200, length: int = 32, seed: int = 0,
) -> Float[Tensor, "2 context d_vocab"]:  # fmt: skip
    """Log-probabilities in nats after the destination, with the source 3 to 20 tokens before it, and without it.

    Each context is the start of another window that lacks the source; its last token is made the destination, and an
    earlier one the source, or, without it, a random token of `pool`. Raises ValueError for too few windows.
    """
    prompts = windows[(windows[:, :length] != source).all(1), :length].long()
    if len(prompts) < n_contexts or not 21 < length <= windows.shape[1]:
        have = f"{len(prompts)} windows of {windows.shape[1]} tokens lack the source"
        raise ValueError(f"{have}: pass at least {n_contexts}, a length above 21, and windows no shorter than that")
    generator = torch.Generator().manual_seed(seed)
    prompts = prompts[torch.randperm(len(prompts), generator=generator)[:n_contexts]]
    prompts[:, -1] = destination
    place = length - 1 - torch.randint(3, 21, (n_contexts,), generator=generator)
    pool = pool[pool != source]
    others = pool[torch.randint(len(pool), (n_contexts,), generator=generator)]
    last = [("unembed.hook_in", lambda resid, hook: resid[:, -1:])]  # logits of other positions are not needed
    log_probs = []
    for token in (torch.full_like(others, source), others):
        prompts[torch.arange(n_contexts), place] = token
        log_probs.append(model.run_with_hooks(prompts, fwd_hooks=last)[:, 0].log_softmax(-1))
    return torch.stack(log_probs)


def effect(
    model, source: int, destination: int, outs: list[int], windows: Int[Tensor, "window pos"],
    pool: Int[Tensor, " choice"], n_contexts: int = 200, length: int = 32, seed: int = 0,
) -> Float[Tensor, " context"]:  # fmt: skip
    """By how many nats the source, more than a random token of `pool`, raises log p(one of outs) at the destination.

    Contexts, and what is raised, are as in `with_and_without`.
    """
    with_it, without = with_and_without(model, source, destination, windows, pool, n_contexts, length, seed)
    return with_it[:, outs].logsumexp(-1) - without[:, outs].logsumexp(-1)


def verdict(weighed: Weighed, effects: Float[Tensor, " context"]) -> str:
    """In the weights: at most 1 random token in 20 is as strong. In runs: 9 times in 10 the source beats a random one."""
    weights, runs = max(weighed.p_source, weighed.p_out) <= 0.05, (effects > 0).double().mean().item() >= 0.9
    return {(1, 1): "found", (1, 0): "weights only", (0, 1): "behaviour only", (0, 0): "not found"}[weights, runs]


def copying_table(
    model, words: Int[Tensor, " word"], destinations: Int[Tensor, " destination"], k: int
) -> list[tuple[int, int, list[int], list[int]]]:
    """The k words whose own OV entry stands out most in its row: source, head, 4 keenest destinations, 4 highest outs."""
    rows = [ov.A[words] @ ov.B for ov in (ov_circuit(model, 0, head) for head in range(model.cfg.n_heads))]
    own = torch.stack([(row.gather(1, words[:, None])[:, 0] - row.mean(1)) / row.std(1) for row in rows])
    table = []
    for word in own.amax(0).argsort(descending=True)[:k].tolist():
        head = own[:, word].argmax().item()
        qk = relative_to(qk_circuit(model, 0, head))
        keenest = destinations[(qk.A[destinations] @ qk.B[:, words[word]]).topk(4).indices]
        table.append((words[word].item(), head, keenest.tolist(), rows[head][word].topk(4).indices.tolist()))
    return table


def split_words(tokenizer) -> list[tuple[int, int, int]]:
    """Words that are one token after a space and two without: ids of " word", of its first half, and of the rest."""
    vocab = sorted(tokenizer.get_vocab().items())  # in which Ġ is a space
    words = [(token, text[1:]) for text, token in vocab if text[0] == "Ġ" and text[1:].isascii() and text[1:].isalpha()]
    pieces = [(token, *tokenizer.encode(text, add_special_tokens=False)) for token, text in words]
    return [word for word in pieces if len(word) == 3]


def head_tables(model, head: int) -> dict[str, Tensor]:
    """All of one head written out: the four tables of SCORES, divided by √d_head, and "logits", [d_vocab d_vocab]."""
    W_Q, W_K, _, _ = head_weights(model, 0, head)
    sides = {"token": model.W_E, "pos": model.W_pos}
    scores = {f"{q}_{k}": sides[q] @ W_Q @ (sides[k] @ W_K).T / model.cfg.d_head**0.5 for q in sides for k in sides}
    return scores | {"logits": ov_circuit(model, 0, head).AB}


def look_up(
    tables: dict[str, Tensor], tokens: Int[Tensor, "batch pos"], using: tuple[str, ...] = SCORES, hard: bool = False
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits that one head adds, by indexing its tables: exact if all are used, beside the direct (W_E W_U)[tokens].

    `using` names the tables of scores that count; if `hard`, a query reads only the token that it attends to most.
    """
    pos = torch.arange(tokens.shape[1])
    query, key = {"token": tokens[:, :, None], "pos": pos[:, None]}, {"token": tokens[:, None], "pos": pos[None]}
    scores = torch.zeros(*tokens.shape, len(pos)).masked_fill(pos > pos[:, None], -torch.inf)
    for name, (of_query, of_key) in ((name, name.split("_")) for name in using):
        scores = scores + tables[name][query[of_query], key[of_key]]
    pattern = torch.eye(len(pos)).to(scores)[scores.argmax(-1)] if hard else scores.softmax(-1)
    return pattern @ tables["logits"][tokens]
