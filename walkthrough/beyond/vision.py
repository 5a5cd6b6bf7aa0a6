"""A small convolutional network that reads turned letters: its data, its training, its weights.

The letters are drawn from fonts that matplotlib ships, so nothing is downloaded. Each is turned by any angle, so every
direction of an edge or a curve is equally common: a family of filters, one for each direction, has a fair chance.
`python -m walkthrough.beyond.vision FOLDER` trains the three networks that ship once more (minutes on a laptop).
"""

import argparse
import hashlib
import math
from pathlib import Path

import matplotlib
import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.ft2font import FT2Font
from safetensors.torch import load as load_safetensors
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import affine_grid, avg_pool2d, cross_entropy, grid_sample

WEIGHTS = Path(__file__).parent.parent / "weights"
SEEDS = (0, 1, 2)
SHA256 = "b1a1088a9aca54c8645c0cef5c620bc72ee709a4867dac1d075e0906ecb681ac"  # of the weights that ship
LETTERS = "ABCDEFGJKLOPQRSTUVXY"  # none is another one turned, as N is Z and M is W
HELD_OUT = ("DejaVuSerif", "STIXGeneralBol", "cmss10")  # fonts that training never sees
TRAINING = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold",
    "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralItalic", "cmr10", "cmb10", "cmtt10", "cmti10",
)  # fmt: skip
SIZE = 24  # pixels of a picture's side
GLYPH = 48  # pixels of the square from which a picture is made


def glyph(font: str, letter: str) -> Float[np.ndarray, "height width"]:
    """One upright letter in the middle of a square, ink 1 and paper 0, from a font of matplotlib."""
    file = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"))
    file.set_size(40, 72)
    file.set_text(letter)
    file.draw_glyphs_to_bitmap()
    drawn = np.asarray(file.get_image()).astype(np.float32) / 255
    rows, columns = drawn.any(1).nonzero()[0], drawn.any(0).nonzero()[0]
    drawn = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][:GLYPH, :GLYPH]
    square = np.zeros((GLYPH, GLYPH), np.float32)
    top, left = (GLYPH - drawn.shape[0]) // 2, (GLYPH - drawn.shape[1]) // 2
    square[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return square


def alphabet(fonts: tuple[str, ...]) -> Float[Tensor, "font letter height width"]:
    """All letters of some fonts, upright."""
    return torch.tensor(np.stack([[glyph(font, letter) for letter in LETTERS] for font in fonts]))


def pictures(
    glyphs: Float[Tensor, "font letter height width"], n: int, generator: torch.Generator
) -> tuple[Float[Tensor, "picture 1 y x"], Int[Tensor, " picture"]]:
    """Letters of random font, direction (any), size and place, with the number of each letter."""
    font, letter = (torch.randint(size, (n,), generator=generator) for size in glyphs.shape[:2])
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    shrink = 0.9 + 0.27 * torch.rand(n, generator=generator)
    moved = 0.2 * torch.rand(n, 2, generator=generator) - 0.1
    cos, sin = shrink * angle.cos(), shrink * angle.sin()
    where = torch.stack([cos, -sin, moved[:, 0], sin, cos, moved[:, 1]], -1).view(n, 2, 3)
    grid = affine_grid(where, [n, 1, 2 * SIZE, 2 * SIZE], align_corners=False)
    return avg_pool2d(grid_sample(glyphs[font, letter][:, None], grid, align_corners=False), 2), letter


class LetterReader(nn.Module):
    """Two convolutions with a ReLU after each; then the largest value of each unit anywhere, and a linear map to letters."""

    def __init__(self, seed: int = 0, first: int = 12, second: int = 32):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv1 = nn.Conv2d(1, first, 7, padding=3)
            self.conv2 = nn.Conv2d(first, second, 5, padding=2)
            self.read_out = nn.Linear(second, len(LETTERS))
        self.pool = nn.MaxPool2d(2)

    def layers(self, x: Float[Tensor, "picture 1 y x"]) -> tuple[Tensor, Tensor]:
        """What the units of the two layers say, everywhere: `[picture unit y x]`, after ReLU."""
        first = self.conv1(x).relu()
        return first, self.conv2(self.pool(first)).relu()

    def strongest(
        self, x: Float[Tensor, "picture 1 y x"]
    ) -> tuple[Float[Tensor, "picture first"], Float[Tensor, "picture second"]]:
        """Each unit's largest value anywhere in the picture, for both layers."""
        first, second = self.layers(x)
        return first.amax((2, 3)), second.amax((2, 3))

    def forward(self, x: Float[Tensor, "picture 1 y x"]) -> Float[Tensor, "picture letter"]:
        return self.read_out(self.strongest(x)[1])


def train(seed: int = 0, steps: int = 1000, batch: int = 64) -> LetterReader:
    """A network trained on fresh letters at each step, with AdamW; the same seed gives the same run on one machine."""
    net, generator = LetterReader(seed), torch.Generator().manual_seed(seed)
    glyphs = alphabet(TRAINING)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    for step in range(steps):
        rate = 6e-3 * min(1, (step + 1) / 50) * (1 - step / steps)
        optimiser.param_groups[0]["lr"] = rate
        x, letter = pictures(glyphs, batch, generator)
        optimiser.zero_grad()
        cross_entropy(net(x), letter).backward()
        optimiser.step()
    return net.requires_grad_(False)


def accuracy(net: LetterReader, fonts: tuple[str, ...] = HELD_OUT, n: int = 2000, seed: int = 0) -> float:
    """The share of new pictures whose letter the network names, in fonts that it was not trained on."""
    x, letter = pictures(alphabet(fonts), n, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return (net(x).argmax(-1) == letter).double().mean().item()


def load(seed: int = 0) -> LetterReader:
    """One of the three networks that ship with the course: what `train(seed)` made on our machine.

    Raises ValueError for a seed that does not ship, and for a file that is damaged or was swapped.
    """
    if seed not in SEEDS:
        raise ValueError(f"networks of seeds {SEEDS} ship with the course, not of {seed}: train it")
    content = (WEIGHTS / "letters.safetensors").read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(
            "letters.safetensors is damaged or was swapped (its SHA-256 differs): install the course again"
        )
    stored = load_safetensors(content)
    net = LetterReader(seed)
    net.load_state_dict({name.split(".", 1)[1]: x for name, x in stored.items() if name.startswith(f"{seed}.")})
    return net.requires_grad_(False)


def main(arguments: list[str] | None = None) -> None:
    """Train the networks of all seeds, and write them to FOLDER/letters.safetensors; says how well each reads."""
    parser = argparse.ArgumentParser(prog="python -m walkthrough.beyond.vision", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=1000, help="1000 for the networks that ship")
    asked = parser.parse_args(arguments)
    trained = {}
    for seed in SEEDS:
        net = train(seed, asked.steps)
        print(f"seed {seed}: names {accuracy(net):.2f} of the letters of unseen fonts")
        trained |= {f"{seed}.{name}": x.contiguous() for name, x in net.state_dict().items()}
    asked.folder.mkdir(parents=True, exist_ok=True)
    file = asked.folder / "letters.safetensors"
    save_file(trained, file)
    print(f"wrote {file.name}, SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
