"""The site and the slides: links and pictures on disk, and every page in a browser."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from rooms import NOTEBOOKS, ROOT, tool

pytest.importorskip("sphinx", reason="the site needs Sphinx: pip install -e '.[docs]'")
pytest.importorskip("sphinxcontrib.katex", reason="pages need KaTeX, from '.[docs]'")
pytestmark = pytest.mark.slow


class Tags(HTMLParser):
    """What a page leads to, and where it can be led to.

    Args:
        path: the page.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.pictures: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        found = dict(attrs)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "img":
            self.pictures.add(found["src"])
        self.links |= {found[key] for key in ("href", "src") if found.get(key)}


def html_of(site: Path) -> list[Path]:
    """Return the pages of a site, without the theme's own bits of HTML."""
    return [
        path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts
    ]


def broken(site: Path) -> list[str]:
    """Return links, anchors and pictures inside a site that lead nowhere."""
    pages = {path: Tags(path) for path in html_of(site)}
    faults = []
    for page, tags in pages.items():
        for link in tags.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (
                (page.parent / unquote(parts.path)).resolve() if parts.path else page
            )
            anchor = unquote(parts.fragment)
            known = pages[target].ids if target in pages else {anchor}
            if not target.is_file() or (anchor and anchor not in known):
                faults.append(f"{page.relative_to(site)}: {link}")
    return faults


def test_what_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="#here"><a href="#there"><img src="none.png">'
        '<a href="b.html#x"><a href="b.html#y"><a href="https://x.org/#z">'
    )
    (tmp_path / "b.html").write_text('<p id="x">')
    found = {fault.split(": ")[1] for fault in broken(tmp_path)}
    assert found == {"#there", "none.png", "b.html#y"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make site` does, without a network where that can be had."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "source").mkdir()
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c"]
    command += [str(ROOT / "docs"), str(folder / "source"), str(folder / "html")]
    alone = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") and not subprocess.run([*alone, "true"]).returncode:
        command = alone + command
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the slides of two notebooks."""
    script, folder = tool("slides"), tmp_path_factory.mktemp("slides")
    for path in (NOTEBOOKS[1], NOTEBOOKS[4]):
        before = path.read_bytes()
        script.slides(path, folder)
        assert path.read_bytes() == before
    return folder


def test_the_site_has_all_pages_and_no_broken_link(site):
    assert (site / "index.html").is_file()
    assert {path.stem for path in NOTEBOOKS} == {
        path.stem for path in (site / "notebooks").glob("*.html")
    }
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("minddpm", "minddpm/app")
        for path in (ROOT / folder).glob("[a-z]*.py")
    }
    modules |= {"minddpm.course.checks", "minddpm.course.explorers"}
    pages = {path.stem: path for path in (site / "api").glob("*.html")}
    assert modules <= set(pages)
    for module, name in (
        ("checks", "check_q_step"),
        ("explorers", "schedule_explorer"),
    ):
        assert name in pages[f"minddpm.course.{module}"].read_text("utf-8")
    if (ROOT / "INSTRUCTORS.md").exists():
        assert (site / "INSTRUCTORS.html").is_file()
    assert not broken(site)
    pictures = set().union(*(Tags(path).pictures for path in html_of(site)))
    assert any(picture.endswith(".gif") for picture in pictures), "the README's film"
    assert not [picture for picture in pictures if urlsplit(picture).netloc]


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Open an empty page that writes down what is wrong with those it shows."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.wrong = []

    def ours(address: str) -> bool:
        return urlsplit(address).hostname in (None, "127.0.0.1")

    def told(message: Any) -> None:
        if message.type == "error" and ours(message.location.get("url", "")):
            page.wrong.append(message.text)

    page.on("console", told)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on(
        "response",
        lambda answer: (
            page.wrong.append(f"{answer.status} {answer.url}")
            if answer.status >= 400 and ours(answer.url)
            else None
        ),
    )
    yield page
    context.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """Serve the site on this machine alone."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


MISSING = """() => [...document.images].filter(image => image.loading !== 'lazy'
    && !image.naturalWidth && image.src.startsWith(location.origin))
    .map(image => image.src)"""
WIDE = "document.documentElement.scrollWidth - window.innerWidth"
UNSET = """() => [...document.querySelectorAll('.math')]
    .filter(each => !each.querySelector('math') || each.querySelector('merror'))
    .map(each => each.textContent)"""


@pytest.mark.parametrize("width", [400, 1280])
def test_every_page_shows_whole_in_a_browser(site, served, page, width):
    page.set_viewport_size({"width": width, "height": 800})
    for path in html_of(site):
        name = path.relative_to(site).as_posix()
        page.goto(f"{served}/{name}")
        assert page.wrong == [], name
        assert page.evaluate(MISSING) == [], name
        assert page.evaluate(UNSET) == [], name
        assert page.evaluate(WIDE) <= 0, name


HIDDEN = """() => slides.map((slide, i) => {
    show(i);
    const box = slide.getBoundingClientRect(), style = getComputedStyle(slide);
    const beyond = [...slide.querySelectorAll('div, pre, img')].filter(each =>
        each.scrollWidth > each.clientWidth + 1
        && getComputedStyle(each).overflowX === 'visible');
    const tall = slide.scrollHeight > slide.clientHeight + 1;
    return {n: i + 1, blocks: slide.children.length, beyond: beyond.length,
        lost: tall && style.overflowY !== 'auto', tall,
        fits: box.width <= innerWidth && box.height <= innerHeight};
})"""


@pytest.mark.parametrize("number", ["01", "04"])
def test_slides_hide_nothing_and_turn(slides, page, number):
    page.context.set_offline(True)
    page.goto((slides / f"{number}.html").as_uri())
    found = page.evaluate(HIDDEN)
    assert len(found) > 20
    assert not [each for each in found if each["lost"] or each["beyond"]]
    assert all(each["fits"] and each["blocks"] for each in found)
    # what does not fit alone scrolls; with company it would have been split
    assert not [each for each in found if each["tall"] and each["blocks"] > 1]
    # every block of the notebook is on a slide, in order
    told = re.sub(r"\s", "", page.evaluate("slides.map(s => s.textContent).join('')"))
    cells = nbformat.read(NOTEBOOKS[int(number)], as_version=4).cells
    for cell in cells:
        if cell.cell_type == "code":
            code = re.sub(r"\s", "", cell.source)
            assert code in told
            told = told.partition(code)[2]
    assert not page.evaluate("document.querySelectorAll('details[open]').length")
    assert page.evaluate("document.querySelectorAll('math').length") > 20
    assert not page.evaluate("document.querySelectorAll('merror, .katex-error').length")
    page.evaluate("show(0)")
    for key, where in {"ArrowRight": 2, " ": 3, "PageUp": 2, "Home": 1}.items():
        page.keyboard.press(key)
        assert page.locator("#page").inner_text().startswith(f"{where} /")
    page.keyboard.press("End")
    last = page.locator("#page").inner_text().split(" / ")
    assert last[0] == last[1]
    assert page.wrong == []
