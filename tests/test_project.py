"""The promises that no single module can keep: layers, documents, set-up, notebooks."""

import ast
import fnmatch
import graphlib
import importlib
import importlib.util
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat.validator import iter_validate

import minddpm

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = ROOT / "README.md"


def python(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run this Python with arguments, and return what came of it."""
    return subprocess.run(
        [sys.executable, *args], cwd=cwd, capture_output=True, text=True
    )


# --- layers: imports point down only --------------------------------------------------

# From the floor up. A module may import what stands in an earlier row.
LAYERS = [
    ["_validate"],
    ["schedule", "nets", "data", "metrics", "device", "pictures", "muon"],
    ["ddpm", "oracle"],
    ["samplers"],
    ["checkpoint"],
    ["history"],
    ["train"],
    ["presets", "generate", "evaluate"],
    ["runs"],
    ["__init__"],
    ["course.plots.style", "course.checks.report", "course.exercises"],
    ["course.plots.?*"],
    ["course.plots"],
    ["course.checks.?*", "course.explorers.?*", "course.figures.?*", "course.doctor"],
    ["course.checks", "course.explorers", "course.figures"],
    ["course.judge"],
    ["course.grade"],
    ["course"],
    ["__main__"],
]
COURSE = next(i for i, row in enumerate(LAYERS) if "course.plots.style" in row)
MODULES = {
    ".".join(path.relative_to(ROOT / "minddpm").with_suffix("").parts).removesuffix(
        ".__init__"
    ): path
    for path in sorted((ROOT / "minddpm").rglob("*.py"))
}


def layer(module: str) -> int:
    """Return the row of a module in LAYERS."""
    for i, row in enumerate(LAYERS):
        if any(fnmatch.fnmatchcase(module, pattern) for pattern in row):
            return i
    raise LookupError(f"minddpm/{module} is in no layer: give it a row in LAYERS")


def may_import(module: str, target: str) -> bool:
    """Tell whether the table allows it; files of one folder may help each other."""
    if layer(module) == layer(target) > COURSE:
        return module.rpartition(".")[0] == target.rpartition(".")[0]
    return layer(target) < layer(module)


def top_level(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through what runs when a module is imported."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from top_level(child)


def imports(
    source: str, package: str = "minddpm", walk: Callable = ast.walk
) -> set[str]:
    """Return the dotted names that a module imports, `from a import b` as a.b."""
    names = set()
    for node in walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package)
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def inside(names: set[str]) -> set[str]:
    """Return the modules of the package among imported names."""
    found = set()
    for name in names:
        if name.split(".")[0] == "minddpm":
            short = name.removeprefix("minddpm").removeprefix(".")
            while short and short not in MODULES:  # a function or class: its module
                short = short.rpartition(".")[0]
            found.add(short or "__init__")
    return found


def package_of(path: Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


GRAPH = {
    module: inside(imports(path.read_text("utf-8"), package_of(path))) - {module}
    for module, path in MODULES.items()
}


def test_imports_are_seen_wherever_they_hide():
    source = "from . import nets\nimport numpy.random as r\ndef f():\n  import tqdm"
    assert imports(source) == {"minddpm.nets", "numpy.random", "tqdm"}
    assert imports(source, walk=top_level) == {"minddpm.nets", "numpy.random"}
    assert inside({"minddpm.ddpm.DDPM", "minddpm.DDPM", "torch"}) == {
        "ddpm",
        "__init__",
    }


def test_the_table_refuses_what_points_up():
    assert may_import("ddpm", "schedule")
    assert may_import("course.checks.ch02", "course.checks.common")
    assert may_import("course.explorers.canvas", "course.plots")
    assert not may_import("schedule", "nets")
    assert not may_import("_validate", "schedule")
    assert not may_import("samplers", "train")
    assert not may_import("course.checks.ch02", "course.explorers.canvas")
    assert not may_import("course.plots", "course.checks.ch02")
    assert not may_import("ddpm", "__init__")
    with pytest.raises(LookupError, match="minddpm/helpers is in no layer"):
        layer("helpers")


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down_only(module):
    wrong = {target for target in GRAPH[module] if not may_import(module, target)}
    assert not wrong, f"minddpm/{module} imports what is not below it: {wrong}"


def test_there_is_no_import_cycle():
    graphlib.TopologicalSorter(GRAPH).prepare()  # raises CycleError


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_imported_by_star(module):
    names = imports(MODULES[module].read_text("utf-8"))
    assert not [name for name in names if name.endswith("*")]


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_are_imported_where_they_are_used(module):
    names = imports(MODULES[module].read_text("utf-8"), walk=top_level)
    outside = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    if layer(module) < COURSE:
        assert outside <= {"minddpm", "numpy", "torch"}
    assert "ipywidgets" not in outside


def test_importing_the_package_loads_no_more_than_torch_and_itself():
    code = """
import sys, torch  # which loads tqdm, where it is installed
before = set(sys.modules)
import minddpm
print(*sorted(set(sys.modules) - before))
"""
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    loaded = result.stdout.split()
    assert "minddpm.schedule" in loaded
    heavy = {"matplotlib", "torchvision", "sklearn", "ipywidgets", "tqdm", "IPython"}
    assert not heavy & {name.split(".")[0] for name in loaded}
    assert not [name for name in loaded if name.startswith("minddpm.course")]


# --- size -----------------------------------------------------------------------------


def code_lines(source: str) -> int:
    """Count lines without blanks, comments and docstrings."""
    blank = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in blank:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


def test_code_lines_are_counted_without_prose():
    assert code_lines('"""Doc.\n\nMore."""\n\n# why\nx = (\n    1,  # one\n)\n') == 3


@pytest.mark.parametrize("module", MODULES)
def test_a_file_is_short(module):
    lines = code_lines(MODULES[module].read_text("utf-8"))
    assert lines <= 250


def test_the_core_is_read_in_an_evening():
    core = {
        module: code_lines(MODULES[module].read_text("utf-8"))
        for module in ("schedule", "ddpm", "samplers")
    }
    # 350 lines of thought; the formatter gives arguments of long signatures one each
    assert sum(core.values()) <= 420, core


# --- the public names and their docstrings --------------------------------------------


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield the public functions, classes, methods and properties of a module."""
    for name, thing in vars(module).items():
        defined = getattr(thing, "__module__", None) == module.__name__
        if name.startswith("_") or not defined:
            continue
        if inspect.isfunction(thing) or inspect.isclass(thing):
            yield name, thing
        if inspect.isclass(thing):
            for key, member in vars(thing).items():
                if isinstance(member, classmethod | staticmethod):
                    member = member.__func__
                ours = getattr(member, "__module__", None) == module.__name__
                ours = isinstance(member, property) or inspect.isfunction(member) & ours
                if ours and not key.startswith("_"):
                    yield f"{name}.{key}", member


def parameters(thing: object) -> dict[str, inspect.Parameter]:
    """Return what a caller passes, without self and cls."""
    if isinstance(thing, property):
        return {}
    found = dict(inspect.signature(thing).parameters)
    return {k: v for k, v in found.items() if k not in ("self", "cls", "_cls")}


def raises(thing: object) -> bool:
    """Tell whether a function, or a class when it is made, has a raise of its own."""
    if inspect.isclass(thing):
        makers = (vars(thing).get(name) for name in ("__init__", "__post_init__"))
        return any(raises(maker) for maker in makers if inspect.isfunction(maker))
    thing = thing.fget if isinstance(thing, property) else thing
    code = getattr(thing, "__code__", None)
    if code is None or not Path(code.co_filename).exists():  # made by dataclass
        return False
    return bool(re.search(r"^\s+raise \w", inspect.getsource(thing), re.MULTILINE))


def docstring_faults(thing: object) -> list[str]:
    """Return what a docstring lacks."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    if not doc:
        return ["no docstring"]
    faults = []
    if not doc.splitlines()[0].endswith("."):
        faults.append("the first line is not one sentence")
    if "\\" in doc:
        faults.append("a backslash, which help() shows as it is or worse")
    faults += [
        f"no entry for {name}"
        for name in parameters(thing)
        if not re.search(rf"^ +(\w+, )*\*{{0,2}}{name}(, \w+)*:", doc, re.MULTILINE)
    ]
    if raises(thing) and "\nRaises:" not in doc:
        faults.append("no Raises section")
    if inspect.isfunction(thing):
        returned = thing.__annotations__.get("return")
        said = re.search(r"^(Returns|Yields):", doc, re.MULTILINE)
        brief = not parameters(thing) and doc.startswith(("Return ", "Yield "))
        if returned is not None and not said and not brief:
            faults.append("no Returns section")
    return faults


def hint_faults(thing: object) -> list[str]:
    """Return the parameters that have no type hint, and "return"."""
    maker = thing.__init__ if inspect.isclass(thing) else thing
    maker = maker.fget if isinstance(maker, property) else maker
    if not inspect.isfunction(maker):
        return []
    signature = inspect.signature(maker)
    found = [
        name
        for name, parameter in parameters(maker).items()
        if parameter.annotation is parameter.empty
    ]
    if signature.return_annotation is signature.empty:
        found.append("return")
    return found


def test_the_reader_of_docstrings_finds_what_is_missing():
    def bare(x, *, y: int):
        return x

    def poor(x: int) -> int:
        """Do a thing"""
        raise ValueError(x)

    def good(x: int, y: int) -> int:
        """Return the larger number.

        Args:
            x, y: the numbers.

        Returns:
            One of them.

        Raises:
            ValueError: if they are equal.
        """
        if x == y:
            raise ValueError(x)
        return max(x, y)

    assert docstring_faults(bare) == ["no docstring"]
    assert hint_faults(bare) == ["x", "return"]
    assert docstring_faults(poor) == [
        "the first line is not one sentence",
        "no entry for x",
        "no Raises section",
        "no Returns section",
    ]
    assert docstring_faults(good) == hint_faults(good) == []


DOCUMENTED = [
    module for module in MODULES if module[0] != "_" and layer(module) < COURSE
]


@pytest.mark.parametrize("module", DOCUMENTED)
def test_public_names_have_complete_docstrings_and_hints(module):
    wrong = {}
    for name, thing in public(importlib.import_module(f"minddpm.{module}")):
        faults = docstring_faults(thing)
        faults += [f"no type hint for {hint}" for hint in hint_faults(thing)]
        if faults:
            wrong[name] = faults
    assert not wrong


def test_public_names_are_few_explicit_and_sorted():
    names = minddpm.__all__
    assert len(names) <= 30
    assert list(names) == sorted(set(names))
    assert all(hasattr(minddpm, name) for name in names)


# --- set-up ---------------------------------------------------------------------------


def requirements(lines: list[str]) -> dict[str, str]:
    """Return {name: bound} of requirement lines such as torch>=2.6."""
    return {
        re.match(r"[\w-]+", line)[0].lower(): re.sub(r"^[\w-]+", "", line)
        for line in lines
    }


def test_environment_yml_agrees_with_pyproject():
    yaml = pytest.importorskip("yaml")
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    lines = environment["dependencies"]
    assert [line for line in lines if isinstance(line, dict)] == [{"pip": ["-e ."]}]
    conda = requirements([line for line in lines if isinstance(line, str)])
    assert conda.pop("pip") == ""
    conda["torch"] = conda.pop("pytorch")
    version = conda.pop("python").removeprefix("=").split(".")
    lowest = PROJECT["requires-python"].removeprefix(">=").split(".")
    assert [*map(int, version)] >= [*map(int, lowest)]
    assert conda == requirements(PROJECT["dependencies"])


def test_requirements_have_lower_bounds_only():
    extra = PROJECT["optional-dependencies"]["dev"]
    for bound in requirements(PROJECT["dependencies"] + extra).values():
        assert re.fullmatch(r">=[\d.]+", bound)


FAKE_PYTHON = """#!/bin/sh
# Answers as Python does in the Makefile's recipes, and writes down what it was asked.
echo "$*" >> "$LOG"
case "$*" in
    "-m venv --clear "*)
        rm -rf "$4" && mkdir -p "$4/bin" && touch "$4/pyvenv.cfg"
        cp "$0" "$4/bin/python" ;;
    "-m pip install "*) test -z "$BROKEN_NETWORK" ;;
esac
"""


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
class TestMakefile:
    """The recipes, with a stand-in for Python, so that nothing is installed."""

    @pytest.fixture
    def make(self, tmp_path):
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, tmp_path)
        (tmp_path / "python").write_text(FAKE_PYTHON)
        (tmp_path / "shim").write_text("#!/bin/sh\nexit 127\n")
        (tmp_path / "python").chmod(0o755)
        (tmp_path / "shim").chmod(0o755)
        log = tmp_path / "log"

        def run(*args: str, **variables: str) -> tuple[list[str], int, str]:
            log.write_text("")
            own = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "ARGS")
            inherited = {k: v for k, v in os.environ.items() if k not in own}
            result = subprocess.run(
                ["make", f"PYTHON={tmp_path}/shim {tmp_path}/python", *args],
                cwd=tmp_path,
                env=inherited | variables | {"LOG": str(log)},
                capture_output=True,
                text=True,
            )
            asked = [
                line.replace('"', "")
                for line in log.read_text().splitlines()
                if line.startswith("-m") and line != "-m pip --version"
            ]
            return asked, result.returncode, result.stdout + result.stderr

        return run

    VENV = "-m venv --clear .venv"

    def test_help_is_what_make_alone_says(self, make):
        asked, code, text = make()
        assert (asked, code) == ([], 0)
        assert "make lab" in text
        assert "make test" in text

    def test_the_first_call_installs_and_the_second_does_not(self, make):
        tests = "-m pytest"
        assert make("test")[0] == [self.VENV, "-m pip install -e .[dev]", tests]
        assert make("test")[0] == [tests]

    def test_lab_needs_only_the_runtime(self, make):
        lab = "-m jupyterlab notebooks/00_start_here.ipynb"
        assert make("lab")[0] == [self.VENV, "-m pip install -e .", lab]
        assert make("test")[0][0] == "-m pip install -e .[dev]"
        assert make("lab")[0] == [lab]

    def test_what_dev_installed_is_enough_for_lab(self, make):
        make("test")
        assert make("lab")[0] == ["-m jupyterlab notebooks/00_start_here.ipynb"]

    def test_a_changed_pyproject_is_installed_again(self, make, tmp_path):
        make("test")
        later = (tmp_path / ".venv" / "dev-ready").stat().st_mtime + 5
        os.utime(tmp_path / "pyproject.toml", (later, later))
        assert make("test")[0][0] == "-m pip install -e .[dev]"

    def test_a_broken_install_leaves_no_stamp(self, make, tmp_path):
        asked, code, _ = make("test", BROKEN_NETWORK="1")
        assert asked[-1] == "-m pip install -e .[dev]"
        assert code != 0
        assert not list((tmp_path / ".venv").glob("*-ready"))
        assert make("test")[0] == ["-m pip install -e .[dev]", "-m pytest"]

    def test_an_environment_whose_python_is_gone_is_made_anew(self, make, tmp_path):
        make("test")
        (tmp_path / ".venv" / "bin" / "python").unlink()
        asked, code, _ = make("test")
        assert asked == [self.VENV, "-m pip install -e .[dev]", "-m pytest"]
        assert code == 0

    def test_without_a_usable_python_it_says_so(self, make, tmp_path):
        asked, code, text = make("test", f"PYTHONS={tmp_path}/shim no-such-python")
        assert asked == []
        assert code != 0
        assert "minddpm needs Python 3.11 or newer" in text
        assert "no-such-python" in text

    def test_arguments_reach_pytest(self, make):
        assert make("test", "ARGS=-k schedule")[0][-1] == "-m pytest -k schedule"

    def test_another_python_gets_an_environment_of_its_own(self, make, tmp_path):
        (tmp_path / "python").rename(tmp_path / "python3.12")
        path = f"{tmp_path}:{os.environ['PATH']}"
        asked, code, _ = make("test-3.12", "PYTHON=", "ARGS=-k nets", PATH=path)
        tests = "-m pytest -k nets"
        assert asked == [
            "-m venv --clear build/3.12", "-m pip install -e .[dev]", tests
        ]  # fmt: skip
        assert code == 0
        assert make("test-3.12", "ARGS=-k nets")[0] == [tests]
        asked, code, text = make("test-3.14", "PYTHON=", PATH=path)
        assert (asked, code != 0) == ([], True)
        assert "none of these\nis one: python3.14." in text

    @pytest.mark.parametrize(
        ("name", "pins"), [("lowest", "build/lowest.txt"), ("colab", "tests/colab.txt")]
    )
    def test_a_set_of_versions_is_a_file_for_pip(self, make, tmp_path, name, pins):
        (tmp_path / "tests").mkdir()
        (tmp_path / "tests" / "colab.txt").write_text("")
        assert make(f"test-{name}")[0] == [
            f"-m venv --clear build/{name}",
            f"-m pip install -c {pins} -e .[dev]",
            "-m pytest",
        ]

    def test_the_lowest_versions_are_those_of_pyproject(self, make, tmp_path):
        assert make("build/lowest.txt")[1] == 0
        lines = (tmp_path / "build" / "lowest.txt").read_text().splitlines()
        extras = PROJECT["optional-dependencies"].values()
        expected = sum(extras, start=PROJECT["dependencies"])
        assert lines == [line.replace(">=", "==") for line in expected]


@pytest.mark.slow
def test_the_hooks_heed_tags_of_cells_and_the_network_mark(tmp_path):
    cells = [
        ("1 / 0", ["skip-execution"]),
        ("x = 1", []),
        ("import time; time.sleep(60)", ["timeout=1"]),
    ]
    nb = nbformat.v4.new_notebook()
    for source, tags in cells:
        nb.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": tags}))
    nbformat.write(nb, tmp_path / "tags.ipynb")
    (tmp_path / "test_web.py").write_text(
        "import pytest\n@pytest.mark.network\ndef test(): raise OSError"
    )
    shutil.copy(ROOT / "conftest.py", tmp_path)
    flags = ("--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider")
    result = python("-m", "pytest", "-q", "-rs", *flags, cwd=tmp_path)
    assert "1 failed, 1 passed, 2 skipped" in result.stdout
    assert "needs the internet; run with -m network" in result.stdout
    assert "Timeout of 1 seconds exceeded" in result.stdout


# --- documents ------------------------------------------------------------------------

SLUG = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
ADDRESSES = re.compile(
    r"(?:git\+https://github\.com|colab\.research\.google\.com/github|"
    r"mybinder\.org/v2/gh)/([\w-]+/[\w-]+)"
)


def test_readme_and_ci_give_the_same_command():
    first = README.read_text("utf-8").split("```")[1]
    commands = [line.split("#")[0].strip() for line in first.splitlines()]
    assert commands.index("make lab") < commands.index("make test")
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.search(r"^(timed )?make test$", ci, re.MULTILINE)


def test_readme_names_the_repository_as_pyproject_does():
    text = README.read_text("utf-8")
    assert f"git clone {PROJECT['urls']['Repository']}" in text
    assert set(ADDRESSES.findall(text)) <= {SLUG}


def test_what_readme_links_to_exists():
    targets = re.findall(r"\]\(([^)\s]+)\)", README.read_text("utf-8"))
    assert targets
    paths = [target.split("#")[0] for target in targets if ":" not in target]
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_readme_lists_the_notebooks_and_the_modules_that_exist():
    text = README.read_text("utf-8")
    named = set(re.findall(r"notebooks/(\d\d_\w+\.ipynb)", text))
    assert named == {path.name for path in NOTEBOOKS}
    listed = set(re.findall(r"^\| `(\w+\.py)` \|", text, re.MULTILINE))
    top = {path.name for path in (ROOT / "minddpm").glob("*.py")}
    assert listed == top - {"__init__.py"}


def test_no_file_names_the_machine_it_was_written_on():
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    places = {str(ROOT), str(Path.home()), str(ROOT.parent)} - {ROOT.anchor}
    homes = re.compile(r"(?:/(?:home|Users|root)|[A-Z]:\\+Users\\+)[/\\]\w")
    found = []
    for name in listing.stdout.splitlines():
        try:
            text = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture or weights; a file removed but not yet committed
        if homes.search(text) or any(f"{place}/" in text for place in places):
            found.append(name)
    assert not found


# --- notebooks ------------------------------------------------------------------------


def notebook_faults(nb: dict, name: str) -> list[str]:
    """Return what is wrong with a saved notebook, from its JSON."""
    faults = [f"not valid: {error.message}" for error in iter_validate(nb)]
    if nb["metadata"].get("kernelspec", {}).get("name") != "python3":
        faults.append("the kernel is not python3")
    if len({cell.get("id") for cell in nb["cells"]} - {None}) != len(nb["cells"]):
        faults.append("cells without an id of their own")
    texts = ["".join(cell["source"]) for cell in nb["cells"]]
    code = [cell for cell in nb["cells"] if cell["cell_type"] == "code"]
    ran = [cell for cell in code if "".join(cell["source"]).strip()]
    if [c["execution_count"] for c in ran] != list(range(1, len(ran) + 1)):
        faults.append("not saved from one clean run")
    outputs = [output for cell in code for output in cell["outputs"]]
    if any(output["output_type"] == "error" for output in outputs):
        faults.append("an error is saved")
    if any(output.get("name") == "stderr" for output in outputs):
        faults.append("stderr is saved")
    for number, (cell, text) in enumerate(zip(nb["cells"], texts, strict=True)):
        lines = text.splitlines()
        if cell["cell_type"] == "markdown" and len(text.split()) > 120:
            faults.append(f"cell {number}: {len(text.split())} words, above 120")
        if cell["cell_type"] == "code" and len(lines) > 20:
            faults.append(f"cell {number}: {len(lines)} lines, above 20")
        if cell["cell_type"] == "code" and any(len(line) > 80 for line in lines):
            faults.append(f"cell {number}: a line above 80 columns")
    badge = f"colab.research.google.com/github/{SLUG}/blob/main/notebooks/{name}"
    if badge not in "".join(texts[:2]):
        faults.append("no badge on top that opens this file")
    if set(ADDRESSES.findall("\n".join(texts))) - {SLUG}:
        faults.append("an address of another repository")
    return faults


def test_a_bad_notebook_is_found_out():
    cells = [
        nbformat.v4.new_markdown_cell("word " * 121),
        nbformat.v4.new_code_cell("x\n" * 21, execution_count=2),
        nbformat.v4.new_code_cell("# " + "git+https://github.com/else/where" * 3),
    ]
    nb = nbformat.v4.new_notebook(cells=cells)
    cells[1].outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="careful"),
        nbformat.v4.new_output("error", ename="E", evalue="", traceback=[]),
    ]
    cells[2]["id"] = cells[1]["id"]
    nb["surplus"] = 1
    faults = notebook_faults(nb, "00_bad.ipynb")
    assert faults.pop(0).startswith("not valid")
    assert faults == [
        "the kernel is not python3",
        "cells without an id of their own",
        "not saved from one clean run",
        "an error is saved",
        "stderr is saved",
        "cell 0: 121 words, above 120",
        "cell 1: 21 lines, above 20",
        "cell 2: a line above 80 columns",
        "no badge on top that opens this file",
        "an address of another repository",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_saved_notebook_is_as_a_reader_should_find_it(path):
    assert re.fullmatch(r"\d\d_\w+\.ipynb", path.name)
    assert path.stat().st_size <= 2**20
    assert not notebook_faults(json.loads(path.read_text("utf-8")), path.name)


@pytest.mark.slow
class TestBuild:
    """notebooks/build.py, on notebooks of a few cells."""

    @pytest.fixture
    def build(self, tmp_path):
        path = tmp_path / "page.ipynb"

        def run(*sources: str) -> tuple[subprocess.CompletedProcess[str], str, Path]:
            nb = nbformat.v4.new_notebook()
            nb.cells = [nbformat.v4.new_code_cell(source) for source in sources]
            nb.cells[0].metadata = {"tags": ["hide"], "trusted": True}
            nb.metadata = {"kernelspec": {"name": "other", "display_name": "Other"}}
            nbformat.write(nb, path)
            before = path.read_text("utf-8")
            result = python(str(ROOT / "notebooks" / "build.py"), str(path))
            return result, before, path

        return run

    def test_a_clean_run_is_saved_and_normalised(self, build):
        widget = "import ipywidgets; ipywidgets.IntSlider()"
        result, before, path = build("print('a')\nprint('b')", widget)
        assert result.returncode == 0, result.stderr
        assert re.search(r"\d s, peak \d+ MiB, file \d+ KiB", result.stdout)
        old, nb = json.loads(before), json.loads(path.read_text("utf-8"))
        assert [c["id"] for c in nb["cells"]] == [c["id"] for c in old["cells"]]
        assert [c["execution_count"] for c in nb["cells"]] == [1, 2]
        assert nb["cells"][0]["metadata"] == {"tags": ["hide"]}
        assert nb["cells"][0]["outputs"][0]["text"] == ["a\n", "b\n"]
        assert list(nb["cells"][1]["outputs"][0]["data"]) == ["text/plain"]
        assert nb["metadata"]["kernelspec"]["name"] == "python3"
        assert nb["metadata"]["language_info"] == {"name": "python"}
        assert set(nb["metadata"]) == {"kernelspec", "language_info"}

    def test_a_run_that_fails_is_not_saved(self, build):
        result, before, path = build("1 / 0")
        assert result.returncode == 1
        assert "not saved" in result.stderr
        assert "ZeroDivisionError" in result.stderr
        assert path.read_text("utf-8") == before

    def test_a_run_that_only_seems_to_succeed_is_not_saved(self, build):
        warning = "import warnings; warnings.warn('old')"
        widget = "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    1 / 0"
        result, before, path = build(warning, widget)
        assert result.returncode == 1
        assert "cell 0 wrote to stderr" in result.stderr
        assert "a widget raised ZeroDivisionError" in result.stderr
        assert path.read_text("utf-8") == before
