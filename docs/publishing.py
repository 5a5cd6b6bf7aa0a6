"""What search engines, shared links and the page's scripts are told: a description, a picture, a site map, where things lie.

Sphinx itself writes the canonical links (from `html_baseurl`) and `.nojekyll` (its extension `githubpages`).
"""

import shutil
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx

LONGEST = 200  # characters of a description, of which search engines show about so many
PICTURE = "_static/front/shared.png"  # 1200 by 630 pixels, drawn by `pictures.py`
NOT_LISTED = {"search", "genindex"}
SAYS = "walkthrough: an induction head of a small trained model finds an earlier name, and says it again"


def site_address(urls: dict[str, str]) -> str:
    """Where GitHub Pages serves a project's site, by the addresses in pyproject.toml, with a slash at the end.

    `site_address({"Repository": "https://github.com/me/it"})` is `"https://me.github.io/it/"`; a "Documentation" address,
    for a domain of one's own, goes before. Raises ValueError for a repository elsewhere.
    """
    if "Documentation" in urls:
        return urls["Documentation"].rstrip("/") + "/"
    parts = urlsplit(urls["Repository"])
    owner, _, name = parts.path.strip("/").partition("/")
    if parts.netloc != "github.com" or not name:
        raise ValueError(
            f"where is the site of {urls['Repository']} served? Add its address to pyproject.toml, as Documentation"
        )
    own = name.lower() == f"{owner}.github.io".lower()
    return f"https://{owner.lower()}.github.io/" if own else f"https://{owner.lower()}.github.io/{name}/"


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text on one line, cut after a sentence, or else after a word, so that it is no longer than that."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    cut = text[: longest + 1]
    end = max(cut.rfind(mark) for mark in (". ", "? ", "! "))
    return cut[: end + 1] if end > longest // 3 else cut[: cut.rfind(" ")] + "…"


def description(doctree: nodes.document | None, otherwise: str) -> str:
    """The first paragraph of running text on a page, shortened, without formulas' code; `otherwise` if it has none."""
    for paragraph in doctree.findall(nodes.paragraph) if doctree else []:
        if isinstance(paragraph.parent, nodes.section) and not any(paragraph.findall(nodes.math)):
            text = paragraph.astext().removeprefix("Why.").strip()
            if len(text) > 60:
                return shortened(text)
    return shortened(otherwise)


def tell(app: Sphinx, page: str, _template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Add a page's description and the picture of a shared link to its head, and where the engine lies."""
    base = app.config.html_baseurl
    about = context.get("meta") or {}
    says = description(doctree, about.get("description", app.config.site_description))
    if page == app.config.root_doc:
        says = shortened(app.config.site_description)
    title = context.get("title") or app.config.project
    title = app.config.project if page == app.config.root_doc else f"{title} — {app.config.project}"
    properties = {
        "og:type": "website", "og:site_name": app.config.project, "og:title": title, "og:description": says,
        "og:url": f"{base}{page}.html", "og:image": base + PICTURE, "og:image:width": "1200", "og:image:height": "630",
        "og:image:alt": SAYS,
    }  # fmt: skip
    names = {"description": says, "twitter:card": "summary_large_image",
             "walkthrough-engine": context["pathto"]("_static/engine/", resource=True)}  # fmt: skip
    tags = [f'<meta property="{key}" content="{escape(value)}">' for key, value in properties.items()]
    tags += [f'<meta name="{key}" content="{escape(value)}">' for key, value in names.items()]
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def list_pages(app: Sphinx, failed: Exception | None) -> None:
    """Write sitemap.xml and robots.txt beside the pages."""
    if failed:
        return
    base, folder = app.config.html_baseurl, Path(app.outdir)
    pages = sorted(page for page in app.env.found_docs if page not in NOT_LISTED)
    entries = "".join(f"  <url><loc>{escape(f'{base}{page}.html')}</loc></url>\n" for page in pages)
    (folder / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{entries}</urlset>\n',
        encoding="utf-8",
    )
    (folder / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {base}sitemap.xml\n", encoding="utf-8")


def copy_engine(package: Path, site: Path, files: tuple[str, ...]) -> None:
    """Put the engine's modules where pages look for them, and beside them these files of the shipped weights."""
    target = site / "_static" / "engine"
    shutil.copytree(package / "widgets" / "static" / "engine", target)
    for name in files:
        (target / "weights" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / "weights" / name, target / "weights" / name)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_config_value("site_description", "", "html")
    app.connect("html-page-context", tell)
    app.connect("build-finished", list_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
