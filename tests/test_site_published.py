"""What search engines and shared links are told of the site, where its engine lies, and the workflow that publishes it."""

import hashlib
import json
import re
import struct
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

pytest_plugins = ["site_fixture"]
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import publishing  # noqa: E402

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8"))
SITES = {
    "https://github.com/me/it": "https://me.github.io/it/",
    "https://github.com/Me/It/": "https://me.github.io/It/",
    "https://github.com/me/me.github.io": "https://me.github.io/",
}


@pytest.fixture(scope="module")
def pages(pages):
    """The site's pages, but for the search page."""
    return {path: page for path, page in pages.items() if path != "search.html"}


def told(page, name):
    found = page.find_all(
        "meta", attrs={"property" if ":" in name and not name.startswith("twitter") else "name": name}
    )
    assert len(found) == 1, name
    return found[0]["content"]


@pytest.mark.parametrize("repository", SITES)
def test_a_repository_on_github_has_its_site_on_pages(repository):
    assert publishing.site_address({"Repository": repository}) == SITES[repository]


def test_a_site_of_ones_own_goes_before():
    assert (
        publishing.site_address({"Repository": "x", "Documentation": "https://a.example/b"}) == "https://a.example/b/"
    )


@pytest.mark.parametrize("repository", ["https://gitlab.com/me/it", "https://github.com/me"])
def test_a_repository_elsewhere_must_say_where_its_site_is(repository):
    with pytest.raises(ValueError, match="Documentation"):
        publishing.site_address({"Repository": repository})


def test_a_description_ends_with_a_sentence_or_a_word():
    assert publishing.shortened("One  two.\nThree", 20) == "One two. Three"
    assert publishing.shortened("One two three. Four five six seven", 20) == "One two three."
    assert publishing.shortened("One two three four five six", 20) == "One two three four…"


def test_github_is_told_to_serve_all_folders(site):
    assert (site / ".nojekyll").exists()
    assert not (site / "CNAME").exists()


def test_every_page_has_its_one_address(pages):
    for path, page in pages.items():
        (link,) = page.find_all("link", rel="canonical")
        assert link["href"] == told(page, "og:url")
        assert urlsplit(link["href"]).scheme == "https"
        assert link["href"].endswith(f"/{path}")


def test_the_site_map_lists_every_page_once(site, pages):
    tree = ElementTree.parse(site / "sitemap.xml")
    listed = [element.text for element in tree.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    assert sorted(listed) == sorted(page.find("link", rel="canonical")["href"] for page in pages.values())
    assert f"Sitemap: {listed[0].rsplit('/', 1)[0].removesuffix('/notebooks')}/sitemap.xml" in (
        site / "robots.txt"
    ).read_text(encoding="utf-8")


def test_every_page_says_what_it_is_about(pages):
    said = {path: told(page, "description") for path, page in pages.items()}
    assert {path: text for path, text in said.items() if not 60 < len(text) <= publishing.LONGEST + 1} == {}
    assert len(set(said.values())) == len(said)
    assert all(told(page, "og:description") == said[path] for path, page in pages.items())


def test_a_shared_link_has_a_picture(site, pages):
    base = told(pages["index.html"], "og:url").removesuffix("index.html")
    for page in pages.values():
        file = site / told(page, "og:image").removeprefix(base)
        size = struct.unpack(">II", file.read_bytes()[16:24])
        assert size == (int(told(page, "og:image:width")), int(told(page, "og:image:height"))) == (1200, 630)
        assert told(page, "og:image:alt")


# The engine


def test_every_page_knows_where_the_engine_lies(site, pages):
    for path, page in pages.items():
        folder = (site / path).parent / told(page, "walkthrough-engine")
        assert (folder / "ask.js").resolve() == (site / "_static" / "engine" / "ask.js").resolve()


def test_the_engine_and_its_weights_are_the_packages(site):
    theirs, ours = site / "_static" / "engine", ROOT / "walkthrough" / "widgets" / "static" / "engine"
    modules = [path.relative_to(ours) for path in ours.rglob("*") if path.is_file()]
    assert all((theirs / path).read_bytes() == (ours / path).read_bytes() for path in modules)
    for card in (theirs / "weights").glob("*.json"):
        if card.name != "tokenizer.json":
            weights = card.with_suffix(".safetensors").read_bytes()
            assert hashlib.sha256(weights).hexdigest() == json.loads(card.read_text(encoding="utf-8"))["sha256"]


# The workflow


def test_the_workflow_builds_as_the_readme_says_and_publishes_that():
    runs = [step["run"] for step in WORKFLOW["jobs"]["build"]["steps"] if "run" in step]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    install, build = next(line for line in readme.splitlines() if "docs/build.py" in line and "&&" in line).split(
        " && "
    )
    assert install in runs
    assert any(run.endswith(build) for run in runs)
    (upload,) = [step for step in WORKFLOW["jobs"]["build"]["steps"] if "upload-pages-artifact" in step.get("uses", "")]
    assert upload["with"]["path"] == "build/site"
    assert WORKFLOW["jobs"]["publish"]["needs"] == "build"


def test_the_workflow_may_do_no_more_than_it_must():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert WORKFLOW["jobs"]["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert "permissions" not in WORKFLOW["jobs"]["build"]
    assert WORKFLOW["jobs"]["publish"]["environment"]["name"] == "github-pages"
    assert WORKFLOW[True] == {"push": {"branches": ["main"]}, "workflow_dispatch": None}  # YAML reads `on` as true


def test_the_workflow_uses_githubs_own_actions_each_of_one_version():
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert {"actions/configure-pages", "actions/deploy-pages"} <= {name.partition("@")[0] for name in used}
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in used)
