"""The built site: what is on it and what must not be, that every link leads somewhere, and that nothing comes from outside."""

import copy
import json
import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

pytest_plugins = ["site_fixture"]
ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
OUR_PAGES = [
    "functions",
    "index",
    "launch",
    "models",
    "start",
    "training",
    "notebooks/glossary",
    "notebooks/project",
    "notebooks/instructors_guide",
    *(f"notebooks/{name}" for name in NAMES),
]
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
LOADING_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "manifest"}


def test_the_site_has_the_pages_of_the_course_and_no_others(pages):
    assert set(pages) == {f"{page}.html" for page in [*OUR_PAGES, "search"]}


def test_the_pages_around_the_notebooks_are_made_of_the_readme(pages):
    text = pages["start.html"].find("article").get_text()
    assert "You need to know Python and linear algebra." in text
    assert "Set it as homework" in text
    assert "Train your own" not in text
    assert "Train your own" in pages["models.html"].find("article").get_text()


# What must not be there


def squeeze(text):
    return re.sub(r"\s", "", text)


def published(site, pages):
    """All text on the site, without white space: what pages show, and every other text file as it is."""
    texts = [page.get_text() for page in pages.values()]
    for path in site.rglob("*"):
        if path.suffix == ".ipynb":
            texts += [cell.source for cell in nbformat.read(path, 4).cells]
        elif path.suffix in (".md", ".js", ".inv") or path.name.startswith("."):
            texts.append(path.read_text(errors="replace", encoding="utf-8"))
    return squeeze("\n".join(texts))


def solutions():
    """The long lines of the homeworks' solutions and graders, less what the course's notebooks say too."""
    taught = squeeze("".join(cell.source for path in NOTEBOOKS for cell in nbformat.read(path, 4).cells))
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "notebooks" / "homework" / "graders").glob("*.py")]
    for path in (ROOT / "notebooks" / "homework").glob("*.ipynb"):
        for cell in nbformat.read(path, 4).cells:
            texts += re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell.source, re.S)
    lines = [squeeze(line) for text in texts for line in text.splitlines()]
    return [line for line in lines if len(line) > 40 and line not in taught]


def test_no_solution_and_no_grader_is_on_the_site(site, pages):
    text, secret = published(site, pages), solutions()
    assert len(secret) > 300
    shown = nbformat.read(NOTEBOOKS[0], 4).cells
    assert all(squeeze(cell.source) in text for cell in shown if cell.cell_type == "code")  # it would be found
    assert [line for line in secret if line in text] == []


def test_no_file_of_the_homeworks_is_on_the_site(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    found = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    assert sorted(found["docnames"]) == sorted(OUR_PAGES)
    assert [path for path in site.rglob("*") if re.search(r"hw\d|homework|grader", path.name)] == []


# Links


def addresses(page):
    """Every address that a page links to or loads, each with the tag it stands in."""
    for tag in page.find_all(True):
        for attribute in ("href", "src", "poster", "data", "action"):
            if isinstance(value := tag.get(attribute), str):
                yield tag, value
        for candidate in filter(None, tag.get("srcset", "").split(",")):
            yield tag, candidate.split()[0]


@pytest.fixture(scope="module")
def anchors(pages):
    """The places of each page that links may lead to."""
    return {path: {tag[key] for tag in page.find_all(True) for key in ("id", "name") if tag.get(key)}
            for path, page in pages.items()}  # fmt: skip


def dangling(site, pages, anchors):
    """Links of pages that lead nowhere: to no file of the site, or to no place on a page of it."""
    found = []
    for path, page in pages.items():
        for _, address in addresses(page):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (site / path).parent / unquote(parts.path) if parts.path else site / path
            key = target.resolve().relative_to(site.resolve()).as_posix()
            if not target.is_file() or (
                parts.fragment and key in anchors and unquote(parts.fragment) not in anchors[key]
            ):
                found.append(f"{path}: {address}")
    return found


def test_every_link_within_the_site_leads_somewhere(site, pages, anchors):
    assert dangling(site, pages, anchors) == []


@pytest.mark.parametrize("address", ["nowhere.html", "index.html#nowhere", "#nowhere", "notebooks/00_start_here.ipynb"])
def test_a_link_that_leads_nowhere_is_found(site, anchors, address):
    page = BeautifulSoup(f'<a href="{address}">x</a>', "html.parser")
    assert dangling(site, {"launch.html": page}, anchors) == [f"launch.html: {address}"]


def test_links_between_notebooks_lead_to_pages(pages):
    links = [tag["href"] for page in pages.values() for tag in page.select("article a[href]")]
    assert sum(link.endswith("_start_here.html") for link in links) >= 3
    assert [link for link in links if link.endswith((".ipynb", ".md"))] == []


def test_links_to_the_outside_are_well_formed(pages):
    outside = {a for page in pages.values() for _, a in addresses(page) if urlsplit(a).scheme not in ("", "data")}
    assert outside
    assert [a for a in outside if not re.fullmatch(r"https://([\w-]+\.)+[a-z]+(/[\w@:%+.~#?&/=-]*)?", a)] == []


# Nothing from outside


def loaded(tag, address):
    """Whether a browser asks for an address by itself."""
    if tag.name in ("a", "area", "form"):
        return False
    return tag.name != "link" or bool(LOADING_LINKS & set(tag.get("rel", [])))


def outside_loads(page):
    """Addresses on other hosts that a page loads, its style sheets' and module imports' included."""
    found = [a for tag, a in addresses(page) if loaded(tag, a)]
    code = [tag.get_text() for tag in page.find_all(["style", "script"])] + [
        tag["style"] for tag in page.select("[style]")
    ]
    for text in code:
        found += re.findall(r"""(?:url\(|@import|\bfrom|\bimport\(?)\s*["']?([^"')\s]+)""", text)
    return [a for a in found if re.match(r"(?:https?:)?//", a)]


def test_pages_load_nothing_from_other_hosts(pages):
    assert {path: found for path, page in pages.items() if (found := outside_loads(page))} == {}


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<img src="https://example.org/x.png">',
        '<img src="x.png" srcset="https://example.org/y.png 2x">',
        "<style>@import 'https://example.org/x.css';</style>",
        '<p style="background: url(https://example.org/x.png)">',
        '<script type="module">import x from "https://esm.example/x.js"</script>',
        '<script type="module">const x = await import("https://esm.example/x.js")</script>',
    ],
)
def test_what_comes_from_other_hosts_is_found(html):
    assert outside_loads(BeautifulSoup(html, "html.parser")) != []


def test_style_sheets_load_nothing_from_other_hosts(site):
    texts = {
        path.name: re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
        for path in site.rglob("*.css")
    }
    assert {"custom.css", "mystnb.css"} <= {re.sub(r"\.[0-9a-f]{16,}", "", name) for name in texts}
    pattern = r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^\"')]+"
    assert {name: found for name, text in texts.items() if (found := re.findall(pattern, text))} == {}


# Notebooks as pages


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_all_exercises_are_closed_and_nothing_else_is(pages, path):
    page = copy.copy(pages[f"notebooks/{path.stem}.html"].find("article"))
    sources = [cell.source for cell in nbformat.read(path, 4).cells]
    labels = [label for source in sources for label in re.findall(r'check\("(\d+\.\d+)"', source)]
    boxes = page.select("details.exercise")
    assert not page.select("details[open]")
    named = [re.findall(r"\d+\.\d+", box.find("summary").get_text()) for box in boxes]
    assert list(chain(*named)) == labels
    for box, names in zip(boxes, named):
        first_edition = r"Exercises? [\d. and]+ \d+ minutes( each)?"
        rewritten = r"Exercise [\d.]+: .+ (easy|medium|hard), \d+ minutes"
        assert re.fullmatch(f"{first_edition}|{rewritten}", box.find("summary").get_text())
        assert len(box.select("div.cell")) == 1
        assert re.findall(r'check\("(\d+\.\d+)"', box.select_one("div.cell_input").get_text()) == names
        assert all(f"{name} ○ not attempted yet" in box.select_one("div.cell_output").get_text() for name in names)
        inside = [summary.get_text() for summary in box.select("summary")][1:]
        assert inside in (["Hint"], ["Hint 1", "Hint 2", "Solution"])
        assert len(box.select("details > .highlight-python, details > div > .highlight-python")) == len(inside) // 3
        assert not box.select("h1, h2, h3, h4")
        box.extract()
    assert len(page.select("div.cell")) == sum(c.cell_type == "code" for c in nbformat.read(path, 4).cells) - len(boxes)
    assert not [cell for cell in page.select("div.cell") if 'check("' in cell.get_text()]
    assert not [summary for summary in page.select("summary") if "Hint" in summary.get_text()]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_that_a_page_offers_is_the_one_in_the_repository(site, path):
    assert (site / "_sources" / "notebooks" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pages_show_the_figures_each_with_its_description_and_no_widget_without_a_kernel(pages, path):
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    shown = [o for o in outputs if "image/png" in o.get("data", {}) and "text/html" not in o.data]
    page = pages[f"notebooks/{path.stem}.html"].find("article")
    figures = page.select("div.cell_output img[src$='.png']")
    described = [output.metadata["image/png"] for output in shown]
    assert [figure["alt"] for figure in figures] == [said["alt"] for said in described]
    assert ["wt-drawing" in figure.get("class", []) for figure in figures] == ["drawing" in said for said in described]
    assert len(page.select("p.wt-caption[aria-hidden=true]")) == len(page.select("p.wt-caption")) == len(figures) > 0
    widgets = [o.data for o in outputs if "widget-view" in str(o.get("data", {}).keys())]
    assert not [data for data in widgets if data["text/plain"] in page.get_text()]
    assert not page.select("script[type='application/vnd.jupyter.widget-view+json']")


def test_formulas_are_mathml(pages):
    for path in NOTEBOOKS:
        text = "".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
        page = pages[f"notebooks/{path.stem}.html"].find("article")
        assert len(page.find_all("math")) == len(re.findall(r"\$\$[^$]+\$\$|\$[^$]+\$", text)), path
    scripts = [tag["src"] for page in pages.values() for tag in page.select("script[src]")]
    assert scripts
    assert [src for src in scripts if re.search("mathjax|require|thebe|jquery", src, re.I)] == []


# Where to run it


@pytest.mark.parametrize("name", NAMES)
def test_launch_links_open_this_notebook(pages, name):
    links = {tag["href"] for tag in pages[f"notebooks/{name}.html"].select("a[href^='https://']")}
    repository = REPOSITORY.removeprefix("https://github.com/")
    assert f"https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/notebooks/{name}.ipynb" in links
    assert f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}.ipynb" in links


def test_the_cell_for_colab_installs_from_the_repository(pages):
    assert (
        f'%pip install -q "walkthrough[course] @ git+{REPOSITORY}"' in pages["launch.html"].find("article").get_text()
    )


def test_the_address_of_the_repository_stands_in_one_place():
    assert re.fullmatch(r"https://github\.com/[\w-]+/[\w.-]+", REPOSITORY)
    ran = subprocess.run(["git", "grep", "-IlF", "--untracked", REPOSITORY.removeprefix("https://github.com/")],
                         cwd=ROOT, capture_output=True, text=True, encoding="utf-8")  # fmt: skip
    if ran.returncode > 1:
        pytest.skip("not a git checkout")
    assert ran.stdout.split() == ["pyproject.toml"]


def test_the_container_installs_what_the_readme_says():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert f"{container['postCreateCommand']} && jupyter lab notebooks/00_start_here.ipynb" in (
        ROOT / "README.md"
    ).read_text(encoding="utf-8")
    assert re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:3\.1[1-9]", container["image"])
