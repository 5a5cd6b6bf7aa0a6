"""The networks themselves, as plain modules of TransformerLens' own kind, from token ids to logits.

Only this file and `walkthrough.models` know TransformerLens; everybody else takes these names from there.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import TransformerBridgeConfig
from transformer_lens.model_bridge.sources.native import NativeAttention, NativeModel, initialize_native_model

BOS = "<BOS>"


def sinusoids(n_ctx: int, d_model: int) -> Float[Tensor, "pos d_model"]:
    """Positions of amplitude 1, with frequencies geometric from pi down to pi / n_ctx radians a token.

    The usual base of 10,000 has few high frequencies; with these a head of low rank can tell neighbours apart.
    """
    frequency = math.pi * torch.logspace(0, -math.log10(n_ctx), d_model // 2)
    angle = torch.arange(n_ctx)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


class PositionsInQK(NativeAttention):
    """TransformerLens' own attention, with positions added to what W_Q and W_K read and all biases zero."""

    def __init__(self, cfg: TransformerBridgeConfig, positions: Tensor):
        super().__init__(cfg)
        self.positions = [positions]  # in a list: the parameter belongs to the model and is registered there
        for linear in (self.q, self.k, self.v, self.o):
            nn.init.zeros_(linear.bias)
            linear.bias.requires_grad_(False)

    def placed(self, resid: Tensor, positions: Tensor | slice) -> Tensor:
        """What W_Q and W_K read; `walkthrough.training.variants` has others."""
        return resid + self.positions[0][positions]

    def matched(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, [batch head pos d_head], as they are compared."""
        return q, k

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        pattern_fn: Callable[[Tensor], Tensor] | None = None,
        **kwargs,
    ) -> tuple[Tensor, Tensor]:
        batch, n_pos, _ = hidden_states.shape
        placed = self.placed(hidden_states, slice(0, n_pos) if position_ids is None else position_ids)
        q, k, v = (
            linear(x).view(batch, n_pos, self.n_heads, self.d_head).transpose(1, 2)
            for linear, x in ((self.q, placed), (self.k, placed), (self.v, hidden_states))
        )
        q, k = self.matched(q, k)
        mask = self.causal_mask[:n_pos, :n_pos]
        if attention_mask is not None:
            mask = self._combine_attention_mask(mask, attention_mask, batch=batch)
        # In place, since the scores are large and nobody reads them again.
        pattern = (q @ k.transpose(-1, -2)).div_(self.scale).masked_fill_(mask, -math.inf).softmax(-1)
        if attention_mask is not None:  # a row of padding sees nothing at all: zero instead of nan
            pattern = pattern.masked_fill(mask, 0.0)
        if pattern_fn is not None:  # the bridge's hook_pattern, before the values are mixed
            pattern = pattern_fn(pattern)
        return self.o((pattern @ v).transpose(1, 2).flatten(2)), pattern


class PaperModel(NativeModel):
    """The network itself, as a plain module from token ids to logits; `seed` fixes its initial weights."""

    def __init__(self, cfg: TransformerBridgeConfig, seed: int = 0):
        super().__init__(cfg)
        self.pos.weight = nn.Parameter(sinusoids(cfg.n_ctx, cfg.d_model), requires_grad=False)
        for layer, block in enumerate(self.layers):
            block.attn = self.attention(cfg, layer)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.tok_embed.weight, std=0.1, generator=generator)
        nn.init.normal_(self.head.weight, std=0.2 * cfg.d_model**-0.5, generator=generator)
        for block in self.layers:
            for linear in (block.attn.q, block.attn.k, block.attn.v):
                nn.init.normal_(linear.weight, std=cfg.d_model**-0.5, generator=generator)
            nn.init.normal_(block.attn.o.weight, std=(cfg.d_model * cfg.n_layers) ** -0.5, generator=generator)

    def attention(self, cfg: TransformerBridgeConfig, layer: int) -> PositionsInQK:
        """The heads of a layer; `walkthrough.training.variants` has others."""
        return PositionsInQK(cfg, self.pos.weight)

    def entered(self, embedded: Tensor, positions: Tensor | None = None) -> Tensor:
        """What enters layer 0: nothing of position ever enters the residual stream."""
        return embedded

    def between(self, resid: Tensor) -> Tensor:
        """What the next layer, or W_U, takes of what a layer leaves: the stream as it is."""
        return resid

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        check_length((input_ids if inputs_embeds is None else inputs_embeds).shape[1], self.cfg.n_ctx)
        resid = self.entered(self.tok_embed(input_ids) if inputs_embeds is None else inputs_embeds, position_ids)
        for block in self.layers:
            (resid,) = block(resid, attention_mask=attention_mask, position_ids=position_ids)
            resid = self.between(resid)
        return self.head(resid)


class WithMLP(PaperModel):
    """The same network with an MLP of ReLU neurons, with biases, after the attention of each layer."""

    def __init__(self, cfg: TransformerBridgeConfig, seed: int = 0):
        super().__init__(cfg, seed)
        generator = torch.Generator().manual_seed(seed + 10_000)  # else neurons would start as the first embeddings
        for block in self.layers:
            for linear in (block.mlp.fc_in, block.mlp.fc_out):
                nn.init.normal_(linear.weight, std=linear.in_features**-0.5, generator=generator)
                nn.init.zeros_(linear.bias)


class WithLayerNorm(NativeModel):
    """TransformerLens' own network, of GPT-2's design: LayerNorm, biases, and positions added to the stream."""

    def __init__(self, cfg: TransformerBridgeConfig, seed: int = 0):
        super().__init__(cfg)
        initialize_native_model(self, cfg, seed)


def obeys_patterns(attention: nn.Module) -> bool:
    """Whether a layer mixes values by the pattern that hooks give it; some bridges only show what was used."""
    shown_only = type(attention).__name__ == "AttentionBridge"
    return not shown_only or getattr(attention.original_component, "accepts_pattern_fn", False)


def network(cfg: TransformerBridgeConfig, seed: int = 0) -> NativeModel:
    """The network that a configuration describes, with random weights."""
    if cfg.normalization_type is not None:
        return WithLayerNorm(cfg, seed)
    return PaperModel(cfg, seed) if cfg.attn_only else WithMLP(cfg, seed)


def config(
    n_layers: int, d_model: int = 256, n_heads: int = 8, n_ctx: int = 256, d_vocab: int = 4096,
    d_mlp: int | None = None, layernorm: bool = False,
) -> TransformerBridgeConfig:  # fmt: skip
    """The paper's architecture as a TransformerLens configuration; `d_mlp` neurons and LayerNorm go beyond it."""
    return TransformerBridgeConfig(
        n_layers=n_layers, d_model=d_model, n_heads=n_heads, d_head=d_model // n_heads, n_ctx=n_ctx, d_vocab=d_vocab,
        attn_only=d_mlp is None, d_mlp=d_mlp, normalization_type="LN" if layernorm else None,
        positional_embedding_type="standard", act_fn="relu", architecture="TransformerLensNative", device="cpu",
    )  # fmt: skip


def check_length(n_pos: int, n_ctx: int) -> None:
    """Raise ValueError for a prompt that is longer than the context."""
    if n_pos > n_ctx:
        raise ValueError(
            f"this prompt is {n_pos} tokens long (with {BOS}), but the model's context is {n_ctx}: "
            f"shorten it to at most {n_ctx} tokens"
        )
