"""Another road to what a model does: transformers' own modules (or ours), without TransformerLens, slow and plain."""

from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import torch
from architectures import COURSE, course_network, model_of, plain
from transformer_lens import TransformerBridge
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from walkthrough import architecture
from walkthrough.architecture import described

FIRST = ("ln_1", "ln1", "input_layernorm", "self_attn_layer_norm")  # the norm before attention
OUT = {"gpt2": "c_proj", "pythia": "dense", "opt": "out_proj"}  # what W_O is called; o_proj elsewhere
SECOND = ("pre_feedforward_layernorm", "ln_2", "ln2", "post_attention_layernorm", "final_layer_norm")  # before an MLP


def attention(module, query, key, value, attention_mask, scaling, dropout=0.0, softcap=None, **kwargs):
    """Softmax attention as in a textbook; `module.changed` may change the pattern."""
    module.values, groups = value.transpose(1, 2), query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    scores = query @ key.mT * scaling
    if softcap is not None:
        scores = softcap * (scores / softcap).tanh()
    scores = scores.masked_fill(attention_mask[:, :, :, : key.shape[2]] < -1, -torch.inf)
    module.pattern = module.changed(scores.softmax(-1))
    return (module.pattern @ value).transpose(1, 2), module.pattern


AttentionInterface.register("slow", attention)
AttentionMaskInterface.register("slow", eager_mask)


class Cache(dict):
    """What a run stored, by the names that a bridge's cache has; ("pattern", 0) is blocks.0.attn.hook_pattern."""

    def __missing__(self, key):
        kind, layer = key
        inside = "" if kind.startswith("resid") else "attn."
        return self[f"blocks.{layer}.{inside}hook_{kind}"]


class Slow:
    """A model that answers as a bridge does, for patterns, z, the stream, logits, and hooks on patterns, z and the end."""

    __class__ = TransformerBridge  # for annotations; it has none of its methods but those below

    def __init__(self, name: str, n_layers: int | None = None):
        self.bridge = bridge = model_of(name, n_layers)
        architecture._known[self] = bridge.cfg.normalization_type, False, described(bridge)
        self.cfg, self.tokenizer, self.original_model = bridge.cfg, bridge.tokenizer, bridge.original_model
        self.to_tokens, self.to_single_token, depth = bridge.to_tokens, bridge.to_single_token, bridge.cfg.n_layers
        if name in COURSE:
            self.network = course_network(name, depth).eval()
            self.parts, self.unembed = list(self.network.layers), self.network.head
            self.heads = [block.attn for block in self.parts]
            self.outs = [head.o for head in self.heads]
            for head in self.heads:
                head.forward = partial(self.with_pattern, head, head.forward)
        else:
            self.network = plain(name, "slow", depth)
            modules, self.unembed = list(self.network.modules()), self.network.get_output_embeddings()
            self.heads = [module for module in modules if type(module).__name__.endswith("Attention")]
            self.parts = [module for module in modules if any(child in self.heads for child in module.children())]
            self.outs = [getattr(head, OUT.get(name, "o_proj")) for head in self.heads]
        weights = [
            out.weight if name == "gpt2" else out.weight.T for out in self.outs
        ]  # Conv1D is written the other way
        self.W_O = torch.stack([W.detach().unflatten(0, (self.cfg.n_heads, -1)) for W in weights])
        self.W_Q, self.W_K, self.W_V = map(torch.stack, zip(*(self.three(name, head) for head in self.heads)))
        self.W_E, self.W_U = bridge.embed.weight.detach(), self.unembed.weight.detach().T
        first = lambda part: next((norm for child, norm in part.named_children() if child in FIRST), None)
        self.blocks = [SimpleNamespace(ln1=first(part)) for part in self.parts]
        inside = {module for part in self.parts for module in part.modules()}
        outside = [x for x in self.network.modules() if "Norm" in type(x).__name__ and x not in inside]
        self.ln_final = outside[-1] if outside else None
        self.given = []
        for head in self.heads:
            head.changed = lambda pattern: pattern

    def three(self, name: str, attn) -> list[torch.Tensor]:
        """W_Q, W_K and W_V of a layer, out of the rows of its own matrices: [head d_model d_head]."""
        size = self.cfg.d_head
        if name == "gpt2":
            rows = [part.T for part in attn.c_attn.weight.split(self.cfg.d_model, dim=1)]
        elif name == "pythia":
            rows = attn.query_key_value.weight.view(self.cfg.n_heads, 3, size, -1).transpose(0, 1).flatten(1, 2)
        else:
            rows = [getattr(attn, which if name in COURSE else f"{which}_proj").weight for which in "qkv"]
        return [W.detach().unflatten(0, (-1, size)).mT for W in rows]

    @staticmethod
    def with_pattern(head, forward, resid, *args, **kwargs):
        """The course's own attention, told what to do with its pattern, and what it was."""

        def keep(pattern):
            head.pattern = head.changed(pattern)
            return head.pattern

        head.values = head.v(resid).unflatten(-1, (head.n_heads, -1))
        return forward(resid, *args, **kwargs | {"pattern_fn": keep})

    @torch.no_grad()
    def run(self, tokens, hooks):
        """Logits, and what a cache would hold."""
        cache, ends = Cache(), []

        def through(x, name):
            for hooked, hook in hooks:
                if hooked == name:
                    changed = hook(x, hook=SimpleNamespace(name=name, layer=lambda: int(name.split(".")[1])))
                    x = x if changed is None else changed
            return x

        def before(_module, args, kwargs, layer):
            cache[f"blocks.{layer}.hook_resid_pre"] = kwargs.get("hidden_states", args[0] if args else None)

        def middle(_module, args, layer):
            before = cache[f"blocks.{layer}.hook_resid_pre"]
            cache[f"blocks.{layer}.hook_resid_mid"] = args[0].view_as(before)

        def after(_module, _args, output, layer):
            cache[f"blocks.{layer}.hook_resid_post"] = output[0] if isinstance(output, tuple) else output

        def normed(_module, _args, output, layer):
            cache[f"blocks.{layer}.ln1.hook_out"] = output

        def mixed(_module, args, layer):
            z = through(args[0].unflatten(-1, (-1, self.cfg.d_head)), f"blocks.{layer}.attn.hook_z")
            cache[f"blocks.{layer}.attn.hook_z"] = z
            return (z.flatten(2),)

        for layer, (block, head, out) in enumerate(zip(self.parts, self.heads, self.outs)):
            head.changed = partial(through, name=f"blocks.{layer}.attn.hook_pattern")
            ends.append(block.register_forward_pre_hook(partial(before, layer=layer), with_kwargs=True))
            ends.append(block.register_forward_hook(partial(after, layer=layer)))
            ends.append(out.register_forward_pre_hook(partial(mixed, layer=layer)))
            if self.cfg.normalization_type:
                ends.append(self.blocks[layer].ln1.register_forward_hook(partial(normed, layer=layer)))
            norms = dict(block.named_children())
            second = next((norms[name] for name in SECOND if name in norms), None)
            if second is not None and described(self.bridge).MLPs and not self.cfg.parallel_attn_mlp:
                ends.append(second.register_forward_pre_hook(partial(middle, layer=layer)))
        last = lambda _module, args: (through(args[0], "unembed.hook_in"),)
        ends.append(self.unembed.register_forward_pre_hook(last))
        try:
            logits = self.network(tokens)
        finally:
            for end in ends:
                end.remove()
        for layer, head in enumerate(self.heads):
            cache[f"blocks.{layer}.attn.hook_pattern"], cache[f"blocks.{layer}.attn.hook_v"] = head.pattern, head.values
            head.changed = lambda pattern: pattern
        return getattr(logits, "logits", logits), cache

    def __call__(self, tokens):
        return self.run(tokens, self.given)[0]

    def run_with_cache(self, tokens, names_filter=None):
        """Logits, and everything that is stored at all."""
        return self.run(tokens, self.given)

    def run_with_hooks(self, tokens, fwd_hooks=()):
        """Logits of a changed run."""
        return self.run(tokens, [*self.given, *fwd_hooks])[0]

    @contextmanager
    def hooks(self, fwd_hooks):
        """Every run inside the `with` is changed."""
        kept, self.given = self.given, [*self.given, *fwd_hooks]
        yield self
        self.given = kept
