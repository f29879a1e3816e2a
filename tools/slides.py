"""Show notebooks as slides, as they were saved.

    python tools/slides.py 01 04

Each becomes one file, build/slides/NN.html, that needs no network: pictures, formulas
and all. A heading starts a slide. What does not fit on it goes on to the next one, and
what is taller than a screen scrolls; the browser decides, so that it suits any
projector. Solutions stay closed until they are clicked. Space, arrows, Page Up and Page
Down, Home and End turn the pages.
"""

import argparse
import html
from importlib.resources import files
from pathlib import Path

import nbformat
from nbconvert.filters import Highlight2HTML, ansi2html, markdown2html_mistune
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from minddpm.course.contents import CHAPTERS

ROOT = Path(__file__).resolve().parents[1]

STYLE = """
:root { font-size: min(1.9vw, 3.35vh); }
body { margin: 0; background: #fff; color: #111; font-family: sans-serif; }
section { display: none; box-sizing: border-box; height: 100vh; overflow-y: auto;
  padding: 1.2rem 3rem 1.6rem; line-height: 1.4; }
section.now { display: block; }
section > div { margin: 0 auto 0.5rem; max-width: 48rem; overflow-x: auto; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.4rem; } h3 { font-size: 1.15rem; }
h1, h2, h3 { margin: 0 0 0.6rem; line-height: 1.2; color: #12395b; }
p, ul, ol { margin: 0.4rem 0; }
pre { margin: 0.2rem 0; font-size: 0.8rem; line-height: 1.35; }
code { font-size: 0.88em; } pre code { font-size: inherit; }
.code pre, .text pre { padding: 0.5rem 0.8rem; overflow-x: auto; }
.code pre { background: #f2f4f7; border-left: 0.25rem solid #12395b; }
img { display: block; margin: auto; max-width: 100%; max-height: 80vh; }
.output img { width: 100%; object-fit: contain; }
table { border-collapse: collapse; font-size: 0.85rem; }
td, th { padding: 0.15rem 0.6rem; border-bottom: 1px solid #bbb; }
details { margin: 0.4rem 0; } summary { cursor: pointer; color: #0b57a4; }
math { font-size: 1.08em; font-family: "Cambria Math", "STIX Two Math",
  "Latin Modern Math", "DejaVu Math TeX Gyre", math; }
math[display="block"] { margin: 0.5rem 0; }
.anchor-link { display: none; }
#page { position: fixed; right: 1rem; bottom: 0.4rem; font-size: 0.65rem; color: #444; }
"""

# Blocks are put on slides here and not before: only the browser knows their heights.
SCRIPT = """
const delimiters = [['$$', '$$', true], ['$', '$', false]].map(
    ([left, right, display]) => ({left, right, display}));
let slides = [], now = 0;
function show(n) {
    now = Math.max(0, Math.min(slides.length - 1, n));
    slides.forEach((slide, i) => slide.classList.toggle('now', i === now));
    document.getElementById('page').textContent = `${now + 1} / ${slides.length}`;
    history.replaceState(null, '', '#' + (now + 1));
}
function paginate() {
    const blocks = [...document.querySelectorAll('section > div')];
    const reading = slides.length ? slides[now].firstChild : null;
    document.querySelectorAll('section').forEach(section => section.remove());
    let slide = null;
    slides = [];
    const open = () => {
        slides.forEach(other => other.classList.remove('now'));
        slide = document.createElement('section');
        slide.classList.add('now');
        document.body.append(slide);
        slides.push(slide);
    };
    for (const block of blocks) {
        if (slide === null || block.classList.contains('head')) open();
        slide.append(block);
        const first = slide.firstChild === block;
        if (!first && slide.scrollHeight > slide.clientHeight) {
            open();
            slide.append(block);
        }
    }
    return Math.max(0, slides.findIndex(each => each.contains(reading)));
}
const keys = {ArrowRight: 1, ArrowDown: 1, PageDown: 1, ' ': 1,
    ArrowLeft: -1, ArrowUp: -1, PageUp: -1, Home: -Infinity, End: Infinity};
addEventListener('keydown', event => {
    const {key, target, ctrlKey, altKey, metaKey} = event;
    const slide = slides[now], on = key.startsWith('Arrow') || key === ' ';
    if (!(key in keys) || ctrlKey || altKey || metaKey) return;
    if (key === ' ' && target.tagName === 'SUMMARY') return;  // opens it
    if (key === 'ArrowDown' || key === 'ArrowUp') {  // scrolls, where there is more
        const rest = slide.scrollHeight - slide.clientHeight - slide.scrollTop;
        if (key === 'ArrowDown' ? rest > 1 : slide.scrollTop > 0) return;
    }
    event.preventDefault();
    show(now + keys[key]);
});
addEventListener('load', () => {
    renderMathInElement(document.body,
        {delimiters, output: 'mathml', throwOnError: true});
    const asked = parseInt(location.hash.slice(1)) - 1;
    paginate();
    show(asked || 0);
});
addEventListener('resize', () => show(paginate()));
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<section>{blocks}</section>
<div id="page" role="status"></div>
<script>{katex}</script>
<script>{script}</script>
</body>
</html>
"""


def paragraphs(text: str) -> list[str]:
    """Cut Markdown in front of each heading, and leave out the link to Colab.

    Args:
        text: of one cell.

    Returns:
        The pieces, none empty; a piece that starts a slide starts with its heading.
    """
    pieces, closed = [[]], True
    for line in text.splitlines():
        if line.startswith("```"):
            closed = not closed
        if closed and line.startswith(("# ", "## ", "### ")):
            pieces.append([])
        if not line.startswith("[Open in Colab]"):
            pieces[-1].append(line)
    return [piece for lines in pieces if (piece := "\n".join(lines).strip())]


def output_html(output: NotebookNode) -> str:
    """Return one saved output, in the richest form that a page can show.

    Args:
        output: of a code cell.

    Returns:
        HTML; empty where the output has nothing to show.
    """
    if output.output_type == "stream":
        return f"<pre>{ansi2html(output.text)}</pre>"
    data = output.get("data", {})
    if "text/html" in data:
        return data["text/html"]
    if "image/png" in data:
        alt = html.escape(data.get("text/plain", "figure"), quote=True)
        return f'<img alt="{alt}" src="data:image/png;base64,{data["image/png"]}">'
    return f"<pre>{html.escape(data.get('text/plain', ''))}</pre>"


def blocks(nb: NotebookNode) -> list[str]:
    """Return what is put on the slides, in order: prose, code, outputs.

    Args:
        nb: the notebook, which is left as it is.

    Returns:
        Pieces of HTML that are not torn apart.
    """
    highlight, found = Highlight2HTML(pygments_lexer="ipython3"), []
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            for piece in paragraphs(cell.source):
                kind = "head" if piece.startswith("#") else "prose"
                found.append((kind, markdown2html_mistune(piece)))
        elif cell.cell_type == "code":
            found.append(("code", highlight(cell.source)))
            for output in cell.outputs:
                kind = "text" if output.output_type == "stream" else "output"
                found.append((kind, output_html(output)))
    return [f'<div class="{kind}">{text}</div>' for kind, text in found]


def slides(path: Path, folder: Path) -> Path:
    """Write the slides of a notebook.

    Args:
        path: the notebook.
        folder: where the page goes; it is made if need be.

    Returns:
        The page.
    """
    nb = nbformat.read(path, as_version=4)
    scripts = files("sphinxcontrib")
    page = PAGE.format(
        title=html.escape(path.stem),
        style=STYLE + HtmlFormatter().get_style_defs(".highlight"),
        blocks="\n".join(blocks(nb)),
        katex="\n".join(
            scripts.joinpath(name).read_text("utf-8")
            for name in ("katex.min.js", "auto-render.min.js")
        ),
        script=SCRIPT,
    )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem[:2]}.html"
    target.write_text(page, "utf-8")
    return target


def main() -> None:
    """Write the slides of the notebooks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("numbers", nargs="+", help="of notebooks, as in 01 04")
    known = {c.number: ROOT / "notebooks" / f"{c.stem}.ipynb" for c in CHAPTERS}
    for number in parser.parse_args().numbers:
        if number not in known:
            parser.error(f"no notebook {number!r}; there are {', '.join(known)}")
        print(slides(known[number], ROOT / "build/slides").relative_to(ROOT))


if __name__ == "__main__":
    main()
