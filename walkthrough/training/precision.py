"""Which precision is faster on the processor at hand: many have no bfloat16 instructions, and then it is slower by far."""

import time

import torch


def speedup_of_bfloat16(device: str | torch.device = "cpu", seconds: float = 0.1) -> float:
    """How many times as fast as in float32 a product of matrices is under autocast to bfloat16; takes about `seconds`."""
    x, weight = torch.randn(256, 256, device=device), torch.randn(1024, 256, device=device)
    best = {}
    for bf16 in (False, True):
        end, best[bf16] = time.perf_counter() + seconds / 2, float("inf")
        while time.perf_counter() < end:
            start = time.perf_counter()
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
                torch.nn.functional.linear(x, weight)[0, 0].item()  # .item() waits for a GPU, too
            best[bf16] = min(best[bf16], time.perf_counter() - start)
    return best[False] / best[True]
