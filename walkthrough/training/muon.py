"""Muon in the precision of the parameters: torch's own computes in bfloat16, which most laptops have to emulate."""

import torch
from jaxtyping import Float
from torch import Tensor

COEFFICIENTS = (
    3.4445,
    -4.7750,
    2.0315,
)  # Jordan et al. 2024, "Muon": the steepest start that still comes to rest near one


def orthogonalised(
    updates: Float[Tensor, "matrix row column"], steps: int = 5, eps: float = 1e-7
) -> Float[Tensor, "matrix row column"]:
    """Each matrix with all its singular values pushed to between about 0.7 and 1.2, by Newton–Schulz iterations.

    All matrices go through one batched product at a time (Jordan et al. 2024, "Muon: an optimizer for hidden layers").
    """
    a, b, c = COEFFICIENTS
    tall = updates.shape[1] > updates.shape[2]
    x = updates.mT if tall else updates
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, for matrices; the same steps as `torch.optim.Muon` without weight decay.

    Raises ValueError for a parameter that is no matrix.
    """

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})
        for p in self.matrices():
            if p.ndim != 2:
                raise ValueError(f"Muon moves matrices, and was given a parameter of shape {list(p.shape)}")

    def matrices(self) -> list[Tensor]:
        """The parameters of all groups."""
        return [p for group in self.param_groups for p in group["params"]]

    def orthogonalised(self, updates: Float[Tensor, "matrix row column"]) -> Float[Tensor, "matrix row column"]:
        """The updates as they are taken; `walkthrough.training.variants` has another way."""
        return orthogonalised(updates)

    @torch.no_grad()
    def step(self) -> None:
        """One step for every parameter that has a gradient; those of one shape are orthogonalised together."""
        for group in self.param_groups:
            momentum, alike = group["momentum"], {}
            for p in group["params"]:
                if p.grad is not None:
                    alike.setdefault(p.shape, []).append(p)
            for (rows, columns), params in alike.items():
                gradients = [p.grad for p in params]
                for p in params:
                    if "momentum_buffer" not in self.state[p]:
                        self.state[p]["momentum_buffer"] = torch.zeros_like(p)
                velocities = [self.state[p]["momentum_buffer"] for p in params]
                torch._foreach_lerp_(velocities, gradients, 1 - momentum)
                updates = torch._foreach_lerp(gradients, velocities, momentum)
                lr = group["lr"] * max(1, rows / columns) ** 0.5
                steps = self.orthogonalised(torch.stack(updates)).unbind()
                torch._foreach_add_(params, steps, alpha=-lr)
