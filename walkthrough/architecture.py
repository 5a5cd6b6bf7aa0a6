"""What a model is made of, and a decorator: a formula of the paper runs where it is exact, and refuses where it is not.

The paper's models have attention alone, no biases, no norms, and positions that only W_Q and W_K read. Many functions
of this course are formulas for such models; on others they would give numbers that mean nothing, without a word.
"""

import functools
import importlib
import inspect
import weakref
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

from walkthrough.networks import PaperModel, PositionsInQK, obeys_patterns


class Architecture(NamedTuple):
    """What a model has beside the paper's parts, in words, by kind; an empty text where it has none of a kind."""

    norms: str  # before what reads the stream: "LayerNorm", "RMSNorm"
    query_biases: str  # of W_Q and W_K
    value_biases: str  # of W_V and W_O, which end in the stream
    output_bias: str  # of W_U
    positions: str  # other than the sinusoids that W_Q and W_K read: "learned positions in the stream"
    distances: str  # that enter the scores: "rotary positions", "ALiBi positions"
    scores: str  # what else makes a score of a query and a key: "capped scores", "norms of queries and keys"
    MLPs: str  # "plain MLPs", "gated MLPs", "MLPs of experts"; "beside the attention" if both read the same stream
    groups: str  # "2 key/value heads for 4 query heads"
    writes: str  # what is done to what is written into the stream: "norms of what layers write"
    between: str  # what is done to the stream itself: "norms between layers"
    patterns: str  # "patterns that no hook can change"
    logits: str  # what is done to them after W_U: "capped logits"

    def words(self, kinds: Iterable[str]) -> list[str]:
        """What the model has of these kinds."""
        return [words for kind in self._fields if kind in kinds and (words := getattr(self, kind))]


_known: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def described(model) -> Architecture:
    """What a bridge has that the paper's models have not: read off once, and again if its weights were folded."""
    folded = model.cfg.normalization_type, getattr(model, "compatibility_mode", False)
    if _known.get(model, ())[:2] != folded:
        _known[model] = *folded, _read(model)
    return _known[model][2]


def _read(model) -> Architecture:
    blocks, cfg = list(model.blocks), model.cfg
    heads = [block.attn for block in blocks if "attn" in block._modules]
    biased = lambda *names: any(_any(getattr(attn, name, None)) for attn in heads for name in names)
    key_heads = cfg.n_key_value_heads or cfg.n_heads
    return Architecture(
        norms={"LN": "LayerNorm", "RMS": "RMSNorm", None: ""}.get(cfg.normalization_type, "a normalisation"),
        query_biases="biases of W_Q and W_K" if biased("b_Q", "b_K") else "",
        value_biases="biases of W_V and W_O" if biased("b_V", "b_O") else "",
        output_bias="a bias of W_U" if _any(getattr(model.unembed, "b_U", None)) else "",
        positions=_positions(model),
        distances=_distances(cfg.positional_embedding_type),
        scores=" and ".join(_scores(model, heads)),
        MLPs=_mlps(blocks, cfg),
        groups=f"{key_heads} key/value heads for {cfg.n_heads} query heads" if key_heads != cfg.n_heads else "",
        writes=" and ".join(_writes(model, blocks)),
        between="norms between layers" if _between(model) else "",
        patterns="" if all(map(obeys_patterns, heads)) else "patterns that no hook can change",
        logits=_logits(cfg),
    )


def _any(bias) -> bool:
    return isinstance(bias, torch.Tensor) and bool(bias.any())


def _parts(model) -> tuple[bool, list[PositionsInQK]]:
    """Whether the network is of the paper's family, and its attention layers."""
    network = model.original_model
    return isinstance(network, PaperModel), [part for part in network.modules() if isinstance(part, PositionsInQK)]


def _positions(model) -> str:
    ours, heads = _parts(model)
    if not ours:
        learned = model.cfg.positional_embedding_type == "standard"
        return "learned positions in the stream" if learned else ""
    if type(model.original_model).entered is not PaperModel.entered and not _between(model):
        return "learned positions in the stream"
    return "" if all(type(head).placed is PositionsInQK.placed for head in heads) else "layers without positions"


def _distances(kind: str | None) -> str:
    if kind in ("standard", None):
        return ""
    return {"alibi": "ALiBi positions"}.get(kind, f"{kind} positions")


def _scores(model, heads) -> list[str]:
    cfg, (_, ours) = model.cfg, _parts(model)
    changed = any(type(head).matched is not PositionsInQK.matched for head in ours)
    found = ["queries and keys that are changed before they meet"] * changed
    found += ["capped scores"] * ((cfg.attn_scores_soft_cap or 0) > 0)
    found += ["norms of queries and keys"] * any("q_norm" in attn._modules for attn in heads)
    windows = any("full" not in kind for kind in getattr(cfg, "layer_types", None) or ()) or cfg.use_local_attn
    found += ["windows of attention"] * bool(windows)
    scales = [getattr(attn.original_component, "scaling", None) or cfg.d_head**-0.5 for attn in heads]
    scaled = not cfg.use_attn_scale or any(abs(scale * cfg.d_head**0.5 - 1) > 1e-6 for scale in scales)
    found += ["another scale of scores"] * scaled
    found += ["layers without attention"] * (len(heads) < len(model.blocks))
    return found


def _mlps(blocks, cfg) -> str:
    mlps = [block.mlp for block in blocks if "mlp" in block._modules]
    if not mlps:
        return ""
    experts = getattr(cfg, "num_experts", None) or any("router" in mlp._modules for mlp in mlps)
    kind = "MLPs of experts" if experts else "gated MLPs" if cfg.gated_mlp else "plain MLPs"
    return f"{kind} beside the attention" if cfg.parallel_attn_mlp else kind


def _between(model) -> bool:
    return _parts(model)[0] and type(model.original_model).between is not PaperModel.between


def _writes(model, blocks) -> list[str]:
    cfg = model.cfg
    found = ["norms of what layers write"] * any(name.endswith("_post") for b in blocks for name in b._modules)
    found += ["norms after the sum"] * (getattr(cfg, "do_layer_norm_before", True) is False)
    found += ["a norm of the embedding"] * ("embed_ln" in model._modules)
    found += ["a factor on what layers write"] * (getattr(cfg, "residual_multiplier", 1) != 1)
    some = torch.arange(min(4, cfg.d_vocab))[None]
    with torch.no_grad():
        seen, stored = model.embed(some), model.W_E[some]
    same = seen.shape == stored.shape and torch.allclose(seen, stored)
    return found + ["another embedding than W_E"] * (not same)


def _logits(cfg) -> str:
    if (cfg.output_logits_soft_cap or 0) > 0:
        return "capped logits"
    factors = (getattr(cfg, name, None) for name in ("logits_scaling", "logit_scale", "output_multiplier"))
    return "a factor on the logits" if any(factor not in (None, 1, 1.0) for factor in factors) else ""


def bos(model) -> int:
    """The id of the token that begins a text: 0 in the course's models; ValueError for a model that has none."""
    if _parts(model)[0] or model.original_model.__class__.__module__.startswith("walkthrough"):
        return 0
    for told in (model.tokenizer, model.cfg):
        token = getattr(told, "bos_token_id", None)
        if isinstance(token, int):
            return token
    raise ValueError(f"{model.cfg.model_name} has no token that begins a text: pass the one to use as `bos`")


STREAM = ("norms", "writes", "between")  # what a formula leaves out if it multiplies the stream by weights
SCORING = ("query_biases", "distances", "scores", "groups")  # if it makes scores of streams
ADDED = ("value_biases", "positions", "MLPs")  # if heads and the embedding are all that it adds up
LOGITS = ("output_bias", "logits")  # if it ends in W_U
EVERYTHING = Architecture._fields


def leaves_out(*kinds: str, exact: str = "", instead: str = "", needs: str = "") -> Callable:
    """A decorator for a formula: a model that has what it leaves out gets the exact generalisation, or one sentence.

    `kinds` are fields of `Architecture`; `exact` is the generalisation as "module:function", imported when it is first
    needed and called with the same arguments; `instead` says what to use where there is none; `needs` is what a model
    must have, in words. The model is the argument `model`, or that of a `cache`, a `run` or a circuit `qk`. Raises ValueError for a kind that there is not.
    """
    if unknown := set(kinds) - set(EVERYTHING):
        raise ValueError(f"there is no kind {min(unknown)!r}: the kinds are {', '.join(EVERYTHING)}")

    def decorate(function: Callable) -> Callable:
        """The same function, behind a look at the model."""
        names = list(inspect.signature(function).parameters)
        name = next(name for name in ("model", "cache", "run", "qk") if name in names)
        place = names.index(name)

        @functools.wraps(function)
        def guarded(*args, **kwargs):
            """The formula where it is exact; else its generalisation, or a refusal."""
            given = args[place] if len(args) > place else kwargs.get(name)
            model = given if name == "model" else getattr(given, "model", None)
            missed = described(model).words(kinds) if hasattr(model, "hook_dict") else []
            if missed and not exact:
                raise ValueError(refusal(function.__name__, model.cfg.model_name, missed, instead))
            if needs and hasattr(model, "hook_dict") and needs not in described(model):
                raise ValueError(f"{function.__name__} is about {needs}, and {model.cfg.model_name} has none")
            result = (named(exact) if missed else function)(*args, **kwargs)
            if hasattr(type(result), "AB"):
                result.model = model  # whose token begins a text: `searches.relative_to` asks
            return result

        guarded.leaves_out, guarded.exact = kinds, exact
        guarded.__doc__ = f"{function.__doc__}\n\n    On other models: {'`' + exact + '`' if exact else 'refused'}."
        return guarded

    return decorate


def named(exact: str) -> Callable:
    """The function that "module:function" names."""
    module, _, function = exact.partition(":")
    return getattr(importlib.import_module(module), function)


def refusal(function: str, model: str, missed: list[str], instead: str = "") -> str:
    """The sentence with which a formula refuses a model that has what it leaves out."""
    listed = " and ".join(filter(None, [", ".join(missed[:-1]), missed[-1]]))
    instead = instead or "use it on the course's models"
    return f"{function} leaves out what {model.rpartition('/')[2]} has ({listed}): {instead}"
