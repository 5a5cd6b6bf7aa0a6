"""What students get, in one folder and as one zip: the package, the course's notebooks, the homeworks that are released.

No solution, no grader and no key is copied, and what was made is searched before it is there under its name.
"""

import shutil
import tempfile
import zipfile
from pathlib import Path

import nbformat

from walkthrough.homework import leaks, links
from walkthrough.homework.practice import copy_pages

README = """# walkthrough

A hands-on course in mechanistic interpretability. In a fresh environment of Python 3.11 or newer, in this folder:

```sh
python -m pip install -c constraints.txt -e ".[course]"
jupyter lab notebooks/00_start_here.ipynb
```

On Linux without a GPU, install PyTorch's CPU build first, in the version that `constraints.txt` names. If something does
not start, `python -m walkthrough.doctor` says what your machine has and lacks.

{homework}
"""
RELEASED = """The homeworks are in `notebooks/homework/`: {names}. Leave each where it is, so that its links work, write your
answers into it, save it, and hand that file in. `python -m walkthrough.progress notebooks` shows which of the course's own
exercises you have solved. The project that ends the course is described in `notebooks/project.md`."""
FILES = ("LICENSE", "constraints.txt", "environment.yml", "pyproject.toml")
NOT_COPIED = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")


def create(course: Path, notebooks: Path, folder: Path) -> list[str]:
    """Make the students' copy `folder` and `folder.zip`, and return the homeworks in it: those that `course` has released.

    `notebooks` is the folder of that name in walkthrough's repository. Raises ValueError if one of the folders is not what
    it should be, if `folder` is in use, or if anything was found that students must not get; nothing is left then.
    """
    repository = notebooks.resolve().parent
    if not (notebooks / "00_start_here.ipynb").exists() or not (repository / "pyproject.toml").exists():
        raise ValueError(f"{notebooks} is not the folder notebooks of walkthrough's repository")
    if not (course / "nbgrader_config.py").exists():
        raise ValueError(f"{course} is not a course folder: make one with `python -m walkthrough.homework new`")
    zipped = folder.with_name(folder.name + ".zip")
    for target in (folder, zipped):
        if target.exists() and (target.is_file() or any(target.iterdir())):
            raise ValueError(f"{target} is in use: give a new folder, so that nothing in it is overwritten")
    releases = sorted((course / "release").glob("*/*.ipynb"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as room:
        made = Path(room) / folder.name
        fill(made, repository, notebooks, releases)
        archive(made, Path(room) / zipped.name)
        found = [
            *leaks.search(course, [Path(room) / zipped.name]),
            *links.dead(made),
        ]  # all that is in the folder is in the zip
        if found:
            raise ValueError(
                "\n".join([*found, f"nothing was made: {len(found)} things were found in the students' copy"])
            )
        if folder.exists():
            folder.rmdir()
        made.rename(folder)
        (Path(room) / zipped.name).rename(zipped)
    return [release.stem for release in releases]


def fill(made: Path, repository: Path, notebooks: Path, releases: list[Path]) -> None:
    """Copy what students get, and nothing else: each kind of file is named here."""
    homework = made / "notebooks" / "homework"
    homework.mkdir(parents=True)
    for name in FILES:
        shutil.copy(repository / name, made / name)
    shutil.copytree(repository / "walkthrough", made / "walkthrough", ignore=NOT_COPIED)
    pages = [*sorted(notebooks.glob("[0-9][0-9]_*.ipynb")), notebooks / "glossary.md", notebooks / "project.md"]
    copy_pages([page for page in pages if page.exists()], made / "notebooks")
    for release in releases:
        notebook = nbformat.read(release, 4)
        there = {f"../{page.name}" for page in pages if page.exists()} | {each.name for each in releases}
        links.relink(notebook, there)
        nbformat.write(notebook, homework / release.name)
    names = ", ".join(f"`{release.name}`" for release in releases)
    said = RELEASED.format(names=names) if releases else "No homework has been set yet."
    (made / "README.md").write_text(README.format(homework=said), encoding="utf-8")
    if not releases:
        homework.rmdir()


def archive(folder: Path, file: Path) -> None:
    """The folder as a zip, with its name as the first folder in it."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.write(path, path.relative_to(folder.parent))
