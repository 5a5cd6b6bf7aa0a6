"""The course as a static site, from the executed notebooks, offline: `python docs/build.py` writes build/site/index.html.

What goes in is named here; the homeworks, which hold their solutions, do not. Warnings are errors.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import main as sphinx

ROOT = Path(__file__).parent.parent
PAGES = ["docs/index.md", "docs/launch.md", "docs/models.md", "docs/functions.md"]
NOTEBOOKS = ["notebooks/*.ipynb", "notebooks/glossary.md", "notebooks/instructors_guide.md"]
BESIDE = ["README.md", "docs/*.png"]


def stage(folder: Path) -> None:
    """Copy what the site is made of: our pages to the top, all else where links expect it."""
    for pattern in [*PAGES, *NOTEBOOKS, *BESIDE]:
        for path in sorted(ROOT.glob(pattern)):
            target = folder / (path.name if pattern in PAGES else path.relative_to(ROOT))
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)


def main(site: Path) -> int:
    """Build the site in a folder, which is emptied first; Sphinx's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        source, doctrees = Path(folder) / "source", Path(folder) / "doctrees"
        source.mkdir()
        stage(source)
        shutil.rmtree(site, ignore_errors=True)
        options = ["-W", "--keep-going", "-q", "-b", "html", "-c", str(ROOT / "docs"), "-d", str(doctrees)]
        return sphinx([*options, str(source), str(site)])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build" / "site"))
