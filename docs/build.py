"""The course as a static site, from the executed notebooks, offline: `python docs/build.py` writes build/site/index.html.

What goes in is named here; the homeworks, which hold their solutions, do not. Warnings are errors.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import pictures
import publishing
import torch
from sphinx.cmd.build import main as sphinx

ROOT = Path(__file__).parent.parent
PAGES = ["docs/index.md", "docs/start.md", "docs/launch.md", "docs/training.md", "docs/models.md", "docs/functions.md"]
NOTEBOOKS = ["notebooks/*.ipynb", "notebooks/glossary.md", "notebooks/project.md", "notebooks/instructors_guide.md"]
BESIDE = ["README.md", "docs/*.png"]
WEIGHTS = (  # what the engine in the page can run: the course's models, and the checkpoints of a run
    *(f"{name}.{kind}" for name in ("two-layer", "one-layer", "zero-layer") for kind in ("safetensors", "json")),
    "tokenizer.json", "forming/two-layer.safetensors", "forming/tokenizer.json",
)  # fmt: skip


def stage(folder: Path) -> None:
    """Copy what the site is made of: our pages to the top, all else where links expect it."""
    for pattern in [*PAGES, *NOTEBOOKS, *BESIDE]:
        for path in sorted(ROOT.glob(pattern)):
            target = folder / (path.name if pattern in PAGES else path.relative_to(ROOT))
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)


def main(site: Path) -> int:
    """Build the site in a folder, which is emptied first; Sphinx's exit status."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        source, doctrees = Path(folder) / "source", Path(folder) / "doctrees"
        source.mkdir()
        stage(source)
        shutil.rmtree(site, ignore_errors=True)
        options = ["-W", "--keep-going", "-q", "-b", "html", "-c", str(ROOT / "docs"), "-d", str(doctrees)]
        if status := sphinx([*options, str(source), str(site)]):
            return status
        pictures.draw(site / "_static" / "front")
        shutil.copyfile(ROOT / "walkthrough/widgets/static/elements.js", site / "_static" / "front" / "elements.js")
        publishing.copy_engine(ROOT / "walkthrough", site, WEIGHTS)
        return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build" / "site"))
