"""Settings of the site, for Sphinx: `make site` writes it into build/site.

This file is all that the site has of its own. Its pages are made, each time, from the
README, the notebooks as they were saved, and the docstrings, so none can fall behind.
Formulas are drawn in the browser by KaTeX, whose script the site carries along: it
needs no network, to be built or to be read. Explorers need a kernel, so they are a line
of text here; a figure beside each one shows the same.
"""

import re
import shutil
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

from minddpm.course.contents import CHAPTERS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]

project = PROJECT["name"]
author = PROJECT["authors"][0]["name"]
version = release = PROJECT["version"]
language = "en"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.katex",
    "myst_nb",
]
# The pages are made in the folder of sources, which is not this one.
exclude_patterns = ["**/.ipynb_checkpoints"]

# Notebooks are shown as saved, never run.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

# Docstrings put code between single backquotes, as Markdown does.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # they stand in the signature
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# KaTeX's script comes with its Sphinx extension, its fonts do not: so it writes MathML,
# which browsers set in a font for mathematics of their own.
katex_options = "output: 'mathml', throwOnError: true"
katex_css_path = "site.css"

html_theme = "sphinx_book_theme"
html_title = "minddpm"
html_favicon = "static/icon.svg"
html_context = {"default_mode": "auto"}
html_static_path = ["static"]
html_copy_source = False
html_theme_options = {
    "repository_url": REPOSITORY,
    "use_repository_button": True,
    "use_download_button": False,
    "navbar_persistent": [],  # a search field stands in the sidebar
    "show_navbar_depth": 2,
    "show_toc_level": 2,
}

# Diffusion itself, and the application above it: a page for each file.
FOLDERS = ("minddpm", "minddpm/app")
# What the notebooks call of the course. The first three gather names from other files.
GATHERED = [f"minddpm.course.{name}" for name in ("checks", "explorers", "kit.plots")]
KIT = [f"minddpm.course.kit.{name}" for name in ("diagnosis", "exercise", "report")]
CONTENTS = """
```{{toctree}}
:hidden:
:glob:
:caption: {caption}

{entries}
```
"""


def with_addresses(text: str, source: Path) -> str:
    """Return Markdown in which links to files that are no pages lead to the repository.

    Args:
        text: Markdown, with links relative to the repository's root.
        source: the folder of sources, with all that the site has to lead to.

    Returns:
        The same, with absolute links where the site has nothing to lead to.
    """

    def target(match: re.Match) -> str:
        path = match[1]
        if path == "README.md":
            return "](index.md)"
        if (source / path).exists() or not (ROOT / path).exists():
            return match[0]
        return f"]({REPOSITORY}/blob/main/{path})"

    return re.sub(r"\]\(([^):#\s]+)\)", target, text)


def write(path: Path, text: str) -> None:
    """Write a page, unless it stands there already: Sphinx reads anew what is newer."""
    if not path.exists() or path.read_text("utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def write_sources(app: Sphinx, _config: object) -> None:
    """Put the pages' sources into Sphinx's folder of sources."""
    source = Path(app.srcdir)
    shutil.rmtree(source / "notebooks", ignore_errors=True)
    keep = shutil.ignore_patterns("*.py", ".*", "__pycache__")
    shutil.copytree(ROOT / "notebooks", source / "notebooks", ignore=keep)

    pages = "\n".join(f"notebooks/{chapter.stem}" for chapter in CHAPTERS)
    contents = CONTENTS.format(caption="The course", entries=pages)
    if (ROOT / "INSTRUCTORS.md").exists():
        text = (ROOT / "INSTRUCTORS.md").read_text("utf-8")
        write(source / "INSTRUCTORS.md", with_addresses(text, source))
        contents += CONTENTS.format(caption="For teachers", entries="INSTRUCTORS")
    index = with_addresses((ROOT / "README.md").read_text("utf-8"), source) + contents
    index += CONTENTS.format(caption="The package", entries="api/*")
    write(source / "index.md", index)

    files = [p for each in FOLDERS for p in sorted((ROOT / each).glob("[a-z]*.py"))]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    modules += [*GATHERED, *KIT]
    for page in (source / "api").glob("*.rst"):
        if page.stem not in modules:  # of a file that has moved since
            page.unlink()
    for module in modules:
        imported = "   :imported-members:\n" if module in GATHERED else ""
        write(
            source / "api" / f"{module}.rst",
            f"{module}\n{'=' * len(module)}\n\n"
            f".. automodule:: {module}\n   :members:\n{imported}",
        )


def escape(
    _app: Sphinx, _what: str, _name: str, _obj: object, _options: object, doc: list[str]
) -> None:
    """Keep what is plain text in a docstring, such as *D and |x|, from being markup."""
    example = False
    for i, line in enumerate(doc):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            parts = line.split("`")  # every second one is code
            parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
            doc[i] = "`".join(parts)


def setup(app: Sphinx) -> None:
    """Make the pages before Sphinx looks for them.

    Args:
        app: Sphinx, as it starts.
    """
    app.connect("config-inited", write_sources)
    app.connect("autodoc-process-docstring", escape, priority=400)  # before napoleon
