"""What a one-layer model loses because each head says f1(present, source) times f2(source, output), and no more.

The paper asks what such skip-trigram "bugs" cost and leaves it open (Elhage et al. 2021, "One-Layer" models). Our
estimate: noise differs from file to file, but what a model cannot say it gets wrong in every file. So errors made in
the same context are multiplied between files, which leaves what they share.
"""

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import pad

from walkthrough import corpus
from walkthrough.architecture import EVERYTHING, leaves_out
from walkthrough.models import sinusoids


class Errors(NamedTuple):
    """Counted minus expected outputs of every context (head, source token, present token), in folds of whole files."""

    wrong: Float[Tensor, "fold context out"]  # how often each output came, minus how often the model expected it
    seen: Float[Tensor, "fold context"]  # positions at which the context occurred
    expected: Float[Tensor, "context out"]  # sum of the model's probabilities, all folds together
    present: Int[Tensor, " context"]  # token at the destination
    source: Int[Tensor, " context"]  # head * d_vocab + token that this head attends to
    push: Float[Tensor, "context out"]  # what the head's OV circuit adds to each output's logit; 0 for the last
    outputs: Int[Tensor, " out_but_one"]  # token of each output; the last output stands for all other tokens
    tokens: int  # positions looked at, in frequent contexts or not

    def frequent(self, least: int) -> "Errors":
        """The same, of those contexts only that were seen `least` times."""
        return self._keep(self.seen.sum(0) >= least)

    def shared_with(self, other: "Errors") -> "Errors":
        """The same, of those contexts only that the other errors have, too."""
        n = 1 + max(int(self.present.max()), int(other.present.max()))
        return self._keep(torch.isin(self.source * n + self.present, other.source * n + other.present))

    def _keep(self, keep: Bool[Tensor, " context"]) -> "Errors":
        rows = (part[keep] for part in (self.expected, self.present, self.source, self.push))
        return Errors(self.wrong[:, keep], self.seen[:, keep], *rows, self.outputs, self.tokens)


def jensen_shannon(
    p: Float[Tensor, " out"], q: Float[Tensor, " out"]
) -> Float[Tensor, ""]:  # fmt: skip
    """The mean KL divergence of two distributions from their average, in nats.

    What must be lost where the two are equally likely and cannot be told apart (Lin 1991).
    """
    middle = (p + q) / 2
    return (torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)).sum() / 2


def second_order(
    true: Float[Tensor, " out"], model: Float[Tensor, " out"]
) -> Float[Tensor, ""]:  # fmt: skip
    """About the KL divergence between truth and model, in nats, for small errors.

    The square of each error over twice the model's probability, added up.
    """
    error = true - model
    return (error**2 / (2 * model)).sum()


def shared_by_halves(
    first: Float[Tensor, " out"], second: Float[Tensor, " out"], model: Float[Tensor, " out"]
) -> Float[Tensor, ""]:  # fmt: skip
    """What errors that two halves of a text share cost, in nats: without bias from noise.

    `first` and `second` are the frequencies of the outs in the halves, `model` its probabilities.
    """
    return ((first - model) * (second - model) / (2 * model)).sum()


def mend(
    wrong: Float[Tensor, "context out"],
    expected: Float[Tensor, "context out"],
    key: Int[Tensor, " context"],
) -> Float[Tensor, "context out"]:
    """What is left of counted minus expected outs with the best table of logits [key out] added.

    Weighted least squares, to first order in the table's logits; `key` is each context's row of the
    table, such as its destination.
    """
    zeros = torch.zeros(int(key.max()) + 1, wrong.shape[1])
    logits = zeros.index_add(0, key, wrong) / zeros.index_add(0, key, expected)
    return wrong - expected * logits[key]


def file_rows(
    tokenizer: Tokenizer, packages: Iterable[str], files: int, characters: int = 5000
) -> tuple[Int[Tensor, "row pos"], Int[Tensor, " row"]]:
    """Windows from the middle `characters` of the first `files` files of each package, and each window's file."""
    texts = [text for name in packages for _, text in islice(corpus.documents([name]), files)]
    middles = [text[max(0, (len(text) - characters) // 2) :][:characters] for text in texts]
    tokenizer = Tokenizer.from_str(tokenizer.to_str())  # as in corpus.windows
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoded = tokenizer.encode_batch_fast(middles, add_special_tokens=False)
    rows = [torch.tensor(e.ids[: len(e) // 256 * 256]).long().view(-1, 256) for e in encoded]
    file = torch.arange(len(rows)).repeat_interleave(torch.tensor([len(r) for r in rows]))
    return pad(torch.cat(rows), (1, 0), value=tokenizer.token_to_id(corpus.BOS)), file


@leaves_out(*EVERYTHING)
def strongest_source(
    model, tokens: Int[Tensor, "row pos"]
) -> tuple[Float[Tensor, "row pos d_model"], Int[Tensor, "row pos"], Int[Tensor, "row pos"]]:
    """The last residual stream of a one-layer model, and the head and position that say most at each destination.

    That is the largest attention times size of what is then added to the logits (their deviation over the vocabulary);
    `<BOS>` and the destination itself do not count. Raises ValueError unless the model has exactly one layer.
    """
    if model.cfg.n_layers != 1:
        raise ValueError(f"skip-trigrams are what one layer computes; this model has {model.cfg.n_layers} layers")
    W_Q, W_K, W_V, W_O = (weights[0] for weights in (model.W_Q, model.W_K, model.W_V, model.W_O))
    W_U, says = model.W_U - model.W_U.mean(1, keepdim=True), model.W_E @ (W_V @ W_O)  # says: head, token, d_model
    size = ((says @ (W_U @ W_U.T)) * says).sum(-1).clamp_min(0).sqrt()
    where = sinusoids(model.cfg.n_ctx, model.cfg.d_model)[: tokens.shape[1]]
    future = torch.ones(len(where), len(where), dtype=torch.bool).triu(1)
    resid, head, place = [], [], []
    for part in tokens.split(2):
        embed = model.W_E[part]
        placed = embed + where
        into = "batch pos d_model, head d_model d_head -> batch head pos d_head"
        q, k, v = (einsum(x, W, into) for x, W in ((placed, W_Q), (placed, W_K), (embed, W_V)))
        pattern = (q @ k.mT * model.cfg.d_head**-0.5).masked_fill(future, -torch.inf).softmax(-1)
        resid.append(
            embed + einsum(pattern @ v, W_O, "batch head pos d_head, head d_head d_model -> batch pos d_model")
        )
        pattern *= size[:, part].transpose(0, 1)[:, :, None]
        pattern[..., 0] = 0
        loudness, key = pattern.tril(-1).max(-1)
        head.append(loudness.argmax(1))
        place.append(key.gather(1, head[-1][:, None])[:, 0])
    return torch.cat(resid), torch.cat(head), torch.cat(place)


@leaves_out(*EVERYTHING)
def tally(
    model, rows: Int[Tensor, "row pos"], file: Int[Tensor, " row"], folds: int = 10, least: int = 20, seed: int = 0
) -> tuple[Errors, Errors]:
    """Errors of a one-layer model in contexts seen `least` times: on the text, and on next tokens drawn from the model.

    In the second nothing is wrong, and every estimate should be zero. File f is in fold f % folds; the 255 most common
    outputs count singly. Raises ValueError as `strongest_source` does, and if no context is frequent enough.
    """
    tokens, d_vocab = rows[:, :-1].long(), model.cfg.d_vocab
    width = min(256, d_vocab)  # the last output stands for all other tokens
    resid, head, place = strongest_source(model, tokens)
    use = torch.arange(tokens.shape[1]).expand_as(tokens) > 1  # position 1 has only <BOS> before it
    contexts = (head * d_vocab + tokens.gather(1, place)) * d_vocab + tokens
    kinds, context, count = contexts[use].unique(return_inverse=True, return_counts=True)
    frequent = count >= least
    if not frequent.any():
        raise ValueError(f"no context occurs {least} times: give more rows, or a smaller `least`")
    kinds, kept = kinds[frequent], frequent[context]
    resid, following = (t[use][kept] for t in (resid, rows[:, 1:].long()))
    cell = (file[:, None] % folds * len(kinds)).expand_as(tokens)[use][kept] + (frequent.cumsum(0) - 1)[context][kept]
    outputs = following.bincount(minlength=d_vocab).topk(width - 1).indices
    column = torch.full((d_vocab,), width - 1).index_copy(0, outputs, torch.arange(width - 1))[following]
    expected, counted, redrawn = torch.zeros(3, folds * len(kinds), width)
    dice = torch.Generator().manual_seed(seed)
    for r, c, i in zip(*(t.split(4096) for t in (resid, column, cell))):
        probs = (r @ model.W_U).softmax(-1)[:, outputs]
        probs = torch.cat([probs, (1 - probs.sum(1, keepdim=True)).clamp_min(0)], 1)
        expected.index_add_(0, i, probs)
        # Not torch.multinomial: from the same seed it draws other tokens on another processor.
        drawn = torch.rand(len(i), 1, generator=dice, dtype=torch.float64)
        drawn = torch.searchsorted(probs.double().cumsum(1), drawn).clamp_max(width - 1)[:, 0]
        for table, nexts in ((counted, c), (redrawn, drawn)):
            table.view(-1).index_add_(0, i * width + nexts, torch.ones(len(i)))
    expected, counted, redrawn = torch.stack([expected, counted, redrawn]).unflatten(1, (folds, -1))
    total, present, source = expected.sum(0).clamp_min(1e-6), kinds % d_vocab, kinds // d_vocab
    push = (model.W_E @ (model.W_V[0] @ model.W_O[0]))[source // d_vocab, source % d_vocab] @ model.W_U[:, outputs]
    push = pad(push, (0, 1))  # what the head says of all other tokens together is left at zero
    rest = (counted.sum(-1), total, present, source, push, outputs, use.sum().item())
    return Errors(counted - expected, *rest), Errors(redrawn - expected, *rest)


def remove(
    rate: Float[Tensor, "context out"], errors: Errors, weight: Float[Tensor, "context out"], terms: int, sweeps: int
) -> Float[Tensor, "context out"]:
    """The part of an error rate that is at right angles, in the inner product of `weight`, to what a repair could say.

    `terms` 1: any table of logits over (present, output); 2: also one over (source, output), as OV circuits are;
    3: also another attention strength for each context, times what the head says. Each context's normaliser is free.
    """
    prob = errors.expected / errors.expected.sum(1, keepdim=True)
    tables = [key.unique(return_inverse=True)[1] for key in (errors.present, errors.source)][:terms]
    for _ in range(sweeps if terms else 0):
        for key in tables:
            over, under = (torch.zeros_like(rate).index_add_(0, key, weight * prob * x)[key] for x in (rate, prob))
            rate = rate - prob * over / under.clamp_min(1e-12)
        for slope in [prob, prob * errors.push][: 1 + (terms > 2)]:
            over, under = ((weight * slope * x).sum(1, keepdim=True) for x in (rate, slope))
            rate = rate - slope * over / under.clamp_min(1e-12)
    return rate


def shared_error(errors: Errors, terms: int = 0, sweeps: int = 20) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Nats per token that errors shared between files cost, beyond what `remove` takes out; and their standard error.

    To second order, a rate of error e on an output of probability p costs e²/2p; e² is estimated as the error in one
    fold times that in the others, which has no bias from noise. One token per context is added to p's count: outputs
    that the model thinks all but impossible then count for less than they cost. ValueError for fewer than 3 folds.
    """
    if len(errors.wrong) < 3:
        raise ValueError(f"what some files show is checked in others: give 3 folds or more, not {len(errors.wrong)}")
    seen = errors.seen.sum(0)
    good = ((seen - errors.seen) >= 0.25 * seen).all(0)[:, None]  # no fold has more than three quarters of a context
    weight = good * seen[:, None] ** 2 / (errors.expected + 1)
    rates = (errors.wrong.sum(0) - errors.wrong) / (seen - errors.seen).clamp_min(1)[..., None]
    left = torch.stack([remove(rate, errors, weight, terms, sweeps) for rate in rates]) * weight / seen[:, None]
    folds = (errors.wrong * left).sum((1, 2)) / 2 / errors.tokens
    return folds.sum(), 2 * len(folds) ** 0.5 * folds.std()
