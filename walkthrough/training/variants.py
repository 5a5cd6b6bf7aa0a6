"""Models that differ from the paper's in one respect: what would have to be so for induction heads to form otherwise?"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from walkthrough.models import PaperModel, PositionsInQK
from walkthrough.training.muon import Muon, orthogonalised


class WithoutPositions(PositionsInQK):
    """Nothing of position: of equal tokens, the causal mask is all that tells the order."""

    def placed(self, resid: Tensor, positions: Tensor | slice) -> Tensor:
        """What W_Q and W_K read: the stream alone."""
        return resid


class SmearedKeys(PositionsInQK):
    """Each key is mixed with the one before it (Olsson et al. 2022, Argument 2): the share is learnt, head by head."""

    def __init__(self, cfg, positions: Tensor):
        super().__init__(cfg, positions)
        self.alpha = nn.Parameter(torch.zeros(cfg.n_heads))

    def matched(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries, and keys k_j that became σ(α) k_j + (1 - σ(α)) k_{j-1}."""
        share = self.alpha.sigmoid()[:, None, None]
        mixed = share * k[:, :, 1:] + (1 - share) * k[:, :, :-1]
        return q, torch.cat([k[:, :, :1], mixed], dim=2)


class Rotary(WithoutPositions):
    """Queries and keys turned by an angle that grows with their position (Su et al. 2021): scores know distances only."""

    def matched(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, turned."""
        n_pos, d_head = q.shape[-2:]
        frequency = math.pi * torch.logspace(0, -math.log10(self.causal_mask.shape[0]), d_head // 2)
        angle = torch.arange(n_pos)[:, None] * frequency
        return turned(q, angle), turned(k, angle)


def turned(x: Float[Tensor, "batch head pos d_head"], angle: Float[Tensor, "pos pair"]) -> Tensor:
    """Each pair of neighbouring numbers, turned by its angle."""
    even, odd, cos, sin = x[..., ::2], x[..., 1::2], angle.cos(), angle.sin()
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


class FirstLayerPositions(PaperModel):
    """Positions in the queries and keys of layer 0 alone: later layers match by content, or not at all."""

    def attention(self, cfg, layer: int) -> PositionsInQK:
        """The heads of a layer."""
        return PositionsInQK(cfg, self.pos.weight) if layer == 0 else WithoutPositions(cfg, self.pos.weight)


class Smeared(PaperModel):
    """Smeared keys in every layer."""

    def attention(self, cfg, layer: int) -> PositionsInQK:
        """The heads of a layer."""
        return SmearedKeys(cfg, self.pos.weight)


class RotaryModel(PaperModel):
    """Rotary positions in every layer."""

    def attention(self, cfg, layer: int) -> PositionsInQK:
        """The heads of a layer."""
        return Rotary(cfg, self.pos.weight)


class Learned(PaperModel):
    """Positions that are learnt, and added to the stream: values can copy them as well."""

    def attention(self, cfg, layer: int) -> PositionsInQK:
        """The heads of a layer."""
        return WithoutPositions(cfg, self.pos.weight)

    def __init__(self, cfg, seed: int = 0):
        super().__init__(cfg, seed)
        nn.init.normal_(self.pos.weight, std=0.1, generator=torch.Generator().manual_seed(seed + 1000))
        self.pos.weight.requires_grad_(True)

    def entered(self, embedded: Tensor, positions: Tensor | None = None) -> Tensor:
        """The embedding and the position, added."""
        return embedded + self.pos.weight[slice(0, embedded.shape[1]) if positions is None else positions]


NETWORKS = {
    "paper": PaperModel,
    "first-layer positions": FirstLayerPositions,
    "smeared keys": Smeared,
    "rotary positions": RotaryModel,
    "learned positions": Learned,
}


class PerHeadMuon(Muon):
    """Muon on each head's block by itself, where the course's takes all heads of a layer as one matrix."""

    def __init__(self, params, lr: float, n_heads: int):
        super().__init__(params, lr)
        self.n_heads = n_heads

    def orthogonalised(self, updates: Float[Tensor, "matrix row column"]) -> Float[Tensor, "matrix row column"]:
        """The heads of W_Q, W_K and W_V lie one below the other, those of W_O (every fourth matrix) side by side."""
        sideways = torch.arange(len(updates)) % 4 == 3
        straight = torch.where(sideways[:, None, None], updates.mT, updates)
        blocks = orthogonalised(straight.unflatten(1, (self.n_heads, -1)).flatten(0, 1))
        straight = blocks.unflatten(0, (-1, self.n_heads)).flatten(1, 2)
        return torch.where(sideways[:, None, None], straight.mT, straight)
