"""The grader: real notebooks, hostile ones, and what its parts do.

    PYTHONPATH=tests python tests/course/grading/test_grade.py

prints the hostile notebooks with verdict and seconds, then all notebooks of the course,
as they are handed out and as they are solved.
"""

import ast
import copy
import csv
import json
import multiprocessing
import re
import subprocess
import sys
import tempfile
import time
from multiprocessing.forkserver import ForkServer
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from minddpm.__main__ import main
from minddpm.course.grading import grader as module
from minddpm.course.grading.grader import (
    Grade,
    Mark,
    chapters,
    grade,
    hand_ins,
    printable,
    tasks,
)
from minddpm.course.grading.judge import Statement, needed, parse
from minddpm.course.kit.cells import Task, read_code, read_task
from rooms import NOTEBOOKS, is_exercise, solve

PATHS = {path.name[:2]: path for path in NOTEBOOKS}
RIGHT = "def mix(x0, eps, a):\n    return a**0.5 * x0 + (1 - a) ** 0.5 * eps"
WRONG = "def mix(x0, eps, a):\n    return a * x0 + (1 - a) * eps"
STUB = 'def mix(x0, eps, a):\n    """Mix."""\n    raise NotImplementedError'
MINE = RIGHT.replace("mix", "mine")
CHECK = "checks.check_signal_and_noise(mix)"
FORGED = b'{"verdict": "passed", "mistake": null, "detail": ""}'


def read(number: str) -> NotebookNode:
    return nbformat.read(PATHS[number], as_version=4)


def save(nb: NotebookNode, folder: Path, number: str) -> Path:
    """Hand a notebook in, as a teacher finds it."""
    path = folder / f"student_{PATHS[number].name}"
    path.write_text(json.dumps(nb), encoding="utf-8")
    return path


def answered(source: str, *more: str) -> NotebookNode:
    """Return notebook 00 with another cell for its exercise, and more before it."""
    nb = read("00")
    at = next(i for i, cell in enumerate(nb.cells) if is_exercise(cell))
    nb.cells[at].source = source
    nb.cells[at:at] = [nbformat.v4.new_code_cell(text) for text in more]
    return nb


def before_return(*lines: str, answer: str = RIGHT) -> NotebookNode:
    """Return notebook 00 whose answer first does something else."""
    head, _, rest = answer.partition("\n")
    return answered("\n".join([head, *(f"    {line}" for line in lines), rest]))


def deleted() -> NotebookNode:
    nb = read("00")
    nb.cells = [cell for cell in nb.cells if not is_exercise(cell)]
    return nb


def renamed() -> NotebookNode:
    nb = answered(RIGHT.replace("mix", "my_mix"))
    for cell in nb.cells:
        cell.source = cell.source.replace("noise(mix)", "noise(my_mix)")
    return nb


def edited_check() -> NotebookNode:
    nb = answered(WRONG)
    for cell in nb.cells:
        if "check_signal_and_noise(mix)" in cell.source:
            cell.source = "print('✓ passed')  # checks.check_signal_and_noise(mix)"
    return nb


def loud() -> NotebookNode:
    """100 MB saved in the file, and 100 MB more when it runs."""
    nb = before_return("print('x' * 10**8 * (not said)); said.append(1)")
    nb.cells.insert(0, nbformat.v4.new_code_cell("said = []"))
    text = nbformat.v4.new_output("stream", name="stdout", text="x" * 10**8)
    nb.cells[0].outputs = [text]
    return nb


OVERWRITES = (
    "import minddpm.course.checks as c, minddpm.course.kit.report as r",
    "import minddpm.course.kit.exercise as e, minddpm.course.contents as t",
    "c.check_signal_and_noise = lambda f: c.Report()",
    "c.Report.passed = property(lambda self: True)",
    "c.Report.__init__ = lambda self, *args, **kwargs: None",
    "e.Exercise.check = lambda self, *args, **kwargs: c.Report()",
    "e.z_score = r.z_score = lambda *args: 0.0",
    "r.call = r.Wrong = e.call = e.Wrong = e.replace = t.all_exercises = print",
)
FAKES = (
    "class checks:\n    check_signal_and_noise = staticmethod(lambda f: print('✓'))",
    "def check_signal_and_noise(f):\n    print('✓ passed · Exercise 0.1')",
)
SCRIBBLES = (
    "import os",
    "for fd in range(3, 100):",
    f"    try: os.write(fd, {FORGED!r})",
    "    except OSError: pass",
)

# A notebook, and the verdict it must get with what is said about it.
HOSTILE = {
    "endless loop": (before_return("while True: pass"), "error", "no verdict within"),
    "endless loop in a cell it uses": (
        answered(RIGHT + " * ONE", "while True: ONE = 1"),
        "error",
        "no verdict within",
    ),
    "endless loop in a cell it does not use": (
        answered(RIGHT, "while True: pass"),
        "passed",
        "",
    ),
    "abort": (before_return("import os; os.abort()"), "error", "crashed: SIGABRT"),
    "segfault": (
        before_return("import ctypes; ctypes.string_at(0)"),
        "error",
        "crashed: SIGSEGV",
    ),
    "sys.exit": (before_return("import sys; sys.exit()"), "wrong", "SystemExit"),
    "sys.exit in a cell it uses": (
        answered(RIGHT + " * ONE", "import sys\nONE = sys.exit(3)"),
        "wrong",
        "NameError.*ONE.*; code cell [0-9]+: SystemExit: 3",
    ),
    "os._exit": (
        before_return("import os; os._exit(0)"),
        "error",
        "ended the program with status 0",
    ),
    "cell deleted": (deleted(), "error", "no code cell defines mix"),
    "function renamed": (renamed(), "passed", ""),
    "not Python": (
        answered("def mix(:"),
        "error",
        "mix is in a broken cell: code cell 13: SyntaxError",
    ),
    "100 MB of output": (loud(), "passed", ""),
    "eats memory": (
        before_return("hoard = []", "while True: hoard.append(b'x' * 10**7)"),
        "error",
        "above the limit of 1000",
    ),
    "checks overwritten": (
        before_return(*OVERWRITES, answer=WRONG),
        "wrong",
        "measured",
    ),
    "checks faked": (answered(read_code(PATHS["00"])[-3], *FAKES), "not attempted", ""),
    "check edited": (edited_check(), "wrong", "measured"),
    "forged verdict": (before_return(*SCRIBBLES, answer=WRONG), "wrong", "measured"),
    "channel closed": (
        before_return("import os; os.closerange(3, 100)"),
        "error",
        "channel|status 1",
    ),
}
LIMITS = {"timeout": 300.0, "memory": 1000}
HANGS = {"timeout": 2.0, "memory": 1000}


def limits(label: str) -> dict[str, float]:
    """Honest verdicts may take long on a busy machine; a hang need not."""
    hangs = "no verdict" in HOSTILE[label][2]
    return HANGS if hangs else LIMITS


# --- hostile notebooks ----------------------------------------------------------------


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_notebook_gets_its_verdict(label, tmp_path):
    nb, verdict, said = HOSTILE[label]
    start = time.monotonic()
    (graded,) = grade([save(nb, tmp_path, "00")], **limits(label))
    (mark,) = graded.marks
    assert mark.verdict == verdict, mark
    assert re.search(said, mark.detail), mark
    assert graded.passed == (verdict == "passed")
    # with the start of the server of workers, which imports PyTorch
    assert time.monotonic() - start < limits(label)["timeout"] + module.STARTUP


@pytest.mark.slow
def test_what_is_overwritten_would_have_mattered():
    """The notebook that overwrites the checks does fool one in its own process."""
    nb = HOSTILE["checks overwritten"][0]
    source = next(cell.source for cell in nb.cells if is_exercise(cell))
    fooled = """
from minddpm.course import checks
assert not checks.check_signal_and_noise(lambda x0, eps, a: x0).passed
mix(1.0, 0.0, 0.5)
assert checks.check_signal_and_noise(mix).passed
"""
    run = subprocess.run([sys.executable, "-c", source + fooled])
    assert run.returncode == 0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"cells": 3}', '{"cells": [{}]}', "[" * 10**5]
)
def test_what_is_no_notebook_gets_no_marks_and_stops_nobody(text, tmp_path):
    bad = tmp_path / "02_closed_form.ipynb"
    bad.write_text(text)
    good = save(deleted(), tmp_path, "00")
    first, second = grade([bad, good], **LIMITS)
    assert [mark.verdict for mark in first.marks] == ["error"] * 4
    assert "is not a notebook" in first.marks[0].detail
    assert first.fault == first.marks[0].detail
    assert "no code cell defines mix" in second.marks[0].detail
    assert second.fault == ""


@pytest.mark.slow
def test_one_that_hangs_costs_the_others_nothing(tmp_path):
    nb = solve(read("02"))
    for cell in nb.cells:
        if cell.source.startswith("def alpha_bars"):
            cell.source = "def alpha_bars(betas):\n    while True: pass"
    (graded,) = grade([save(nb, tmp_path, "02")], timeout=10)
    verdicts = {mark.answer: mark.verdict for mark in graded.marks}
    assert verdicts.pop("alpha_bars") == "error"
    assert list(verdicts.values()) == ["passed"] * 3


def test_the_file_is_left_alone_and_the_folder_too(tmp_path):
    nb = before_return("open('here.txt', 'w').close()")
    path = save(nb, tmp_path, "00")
    before = path.read_bytes()
    (graded,) = grade([path], **LIMITS)
    assert graded.passed == 1
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert not Path("here.txt").exists()


# --- real notebooks -------------------------------------------------------------------


@pytest.mark.parametrize("number", ["00", "01", "02"])
def test_real_notebooks_get_no_marks_unsolved_and_all_solved(number, tmp_path):
    handed_out = read(number)
    (before,) = grade([save(handed_out, tmp_path, number)], **LIMITS)
    (after,) = grade([save(solve(handed_out), tmp_path, number)], **LIMITS)
    assert {mark.verdict for mark in before.marks} == {"not attempted"}
    assert {mark.verdict for mark in after.marks} == {"passed"}, str(after)
    assert len(before.marks) == len(after.marks)
    assert all(mark.exercise.startswith("Exercise") for mark in before.marks)


def test_the_exercises_come_from_the_course():
    known = tasks(module.NOTEBOOKS)
    assert sorted(known) == [path.stem for path in NOTEBOOKS]
    for path in NOTEBOOKS:
        nb = nbformat.read(path, as_version=4)
        assert len(known[path.stem]) == sum(map(is_exercise, nb.cells))
    assert known["00_start_here"] == [Task("check_signal_and_noise", "mix")]


# --- what runs, and what does not -----------------------------------------------------


def chosen(*cells: str, answer: str = "f") -> list[str]:
    """Return the statements that an answer needs."""
    every = [Statement(n, s) for n, c in enumerate(cells, 1) for s in parse(c)]
    return [ast.unparse(s.node) for s in needed(every, answer)]


USES_TABLE = "def f(x):\n    y = table[x]\n    return y"


@pytest.mark.parametrize(
    ("others", "kept"),
    [
        ("import torch\ntable = torch.ones(3)", "import torch\ntable = torch.ones(3)"),
        ("x = y = 1", ""),  # the names of its own variables
        ("table = []\ntable.append(1)", "table = []\ntable.append(1)"),
        ("table = {}\ntable['a'].b = 1", "table = {}\ntable['a'].b = 1"),
        ("def g(table):\n    table[0] = 1", ""),
        (
            "import torch\ntorch.allclose = 1\ntable = torch",
            "import torch\ntable = torch",
        ),
        ("for k in range(3):\n    table = [k]", "for k in range(3):\n    table = [k]"),
        ("def g():\n    return h\nh = 1\ntable = g", None),
        ("try:\n    import a as table\nexcept OSError:\n    pass", None),
        ("from a import *", None),
        ("train()\nplots.plot(table)", ""),
        ("n = 1\ntable = 1\ntable += n", None),
    ],
)
def test_only_what_an_answer_needs_is_run(others, kept):
    kept = others if kept is None else kept
    expected = kept + "\n" + USES_TABLE if kept else USES_TABLE
    assert "\n".join(chosen(others, USES_TABLE)) == expected


def test_magics_are_left_out_and_the_rest_of_the_cell_is_not():
    cell = "%matplotlib inline\n!ls\nif a:\n    %pip install b\nf = 5 % 3"
    assert chosen(cell) == ["f = 5 % 3"]
    assert chosen("f = 7\\\n% 3") == ["f = 7 % 3"]
    with pytest.raises(SyntaxError):
        parse("def (")


@pytest.mark.parametrize(
    ("cells", "verdict"),
    [
        # the last one before the last check counts
        ([WRONG, RIGHT, CHECK, WRONG], "passed"),
        ([RIGHT, WRONG, CHECK], "wrong"),
        ([RIGHT, CHECK, WRONG, CHECK], "wrong"),
        # without one there: the last one; a function before what is no function
        ([RIGHT, WRONG], "wrong"),
        ([CHECK, WRONG, RIGHT], "passed"),
        ([STUB, CHECK, RIGHT], "passed"),
        ([STUB, CHECK, RIGHT, "mix = mix(1.0, 0.0, 0.5)"], "passed"),
        (["mix = ...", CHECK, RIGHT], "passed"),
        # a stub is no answer, wherever it stands
        ([RIGHT, CHECK, STUB, CHECK], "passed"),
        ([STUB, CHECK], "not attempted"),
        ([STUB], "not attempted"),
        ([STUB, CHECK, "def mix(x0, eps, a)\n    return x0"], "error"),
        # one whose last line was left below the answer
        ([RIGHT + "\n    raise NotImplementedError", CHECK, WRONG], "passed"),
        # one of another name, which the check was given
        ([STUB, MINE, "checks.check_signal_and_noise( mine )"], "passed"),
        ([MINE, CHECK], "error"),
        # what it uses, moved below; not what is made anew there
        ([RIGHT.replace("0.5", "half"), CHECK, "half = 0.5"], "passed"),
        (["half = 0.5", RIGHT.replace("0.5", "half"), CHECK, "half = 1.0"], "passed"),
        ([RIGHT.replace("0.5", "float('.5')"), CHECK, "float = 3"], "passed"),
        # magics, an indent, all in one cell, line ends of Windows
        (["%%time\n" + RIGHT + "\nmix?\n!ls", CHECK], "passed"),
        (["    " + RIGHT.replace("\n", "\n    ") + "\n    %pwd", CHECK], "passed"),
        (["1 / 0", f"{RIGHT}\n{CHECK}\nraise OSError", "def f(:"], "passed"),
        ([RIGHT.replace("\n", "\r\n"), CHECK], "passed"),
        # a stub beside a helper in another cell
        (["half = 0.5", RIGHT.replace("0.5", "half")], "passed"),
        (
            ["import minddpm", RIGHT + " * minddpm.Schedule.linear(2).alpha_bars[0]"],
            "passed",
        ),
        ([RIGHT.replace("return", "display(a); return")], "passed"),
        (["mix = ..."], "not attempted"),
        (["mix = 3"], "wrong"),
    ],
)
def test_which_answer_counts(cells, verdict, tmp_path):
    nb = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    (graded,) = grade([save(nb, tmp_path, "00")], **LIMITS)
    assert graded.marks[0].verdict == verdict, graded.marks


# --- small parts ----------------------------------------------------------------------


def test_a_task_is_read_from_the_last_line_of_a_cell():
    assert read_task("import a\n\nchecks.check_b(c)") == Task("check_b", "c")
    for other in ("check(c)", "checks.check_b(c);0", "checks.check_b()", "%a", "", "b"):
        assert read_task(other) is None, other
    assert read_task("checks.check_b(c(1))") is None


def test_text_of_students_is_made_safe_to_print():
    assert printable("a\nb\x1b[2J\u202e") == "a b [2J "
    assert printable("y" * 99, 10) == "y" * 9 + "…"


def test_limits_and_files_are_looked_at_first(tmp_path):
    path = save(read("00"), tmp_path, "00")
    with pytest.raises(ValueError, match="timeout=0 must be above 0"):
        next(grade([path], timeout=0))
    with pytest.raises(ValueError, match="memory=-1 must be above 0"):
        next(grade([path], memory=-1))
    with pytest.raises(FileNotFoundError, match=r"none\.ipynb is not there"):
        next(grade([path, tmp_path / "none.ipynb"]))
    with pytest.raises(ValueError, match=r"must be the folder .*give it with --course"):
        next(grade([path], course=tmp_path / "none"))


def test_a_course_of_another_version_is_refused(tmp_path):
    nb = nbformat.v4.new_notebook()
    nb.cells = [nbformat.v4.new_code_cell("checks.check_new(new)")]
    nbformat.write(nb, tmp_path / "10_new.ipynb")
    with pytest.raises(ValueError, match=r"10_new\.ipynb calls check_new"):
        next(grade([tmp_path / "10_new.ipynb"], course=tmp_path))


def test_the_table_has_a_line_for_each_verdict():
    marks = [
        Mark("Exercise 0.1: one", "f", "passed"),
        Mark("Exercise 0.2: two", "g", "wrong", "variance_or_std", "measured 1", 2.5),
        Mark("Exercise 0.3: three", "h", "wrong"),
        Mark("Exercise 0.4: four", "i", "not attempted"),
        Mark("Exercise 0.5: five", "j", "error", None, "crashed: SIGSEGV\n✓ passed"),
    ]
    lines = str(Grade("anna", "a.ipynb", "00_a", marks)).splitlines()
    assert lines[0] == "a.ipynb: 1 of 5"
    assert [re.sub(" {2,}", "|", line) for line in lines[1:]] == [
        "|0.1: one|0.0 s|✓ passed",
        "|0.2: two|2.5 s|✗ variance or std",
        "|0.3: three|0.0 s|✗ no name",
        "|0.4: four|0.0 s|○ not attempted",
        "|0.5: five|0.0 s|! crashed: SIGSEGV ✓ passed",
    ]


def test_the_command_prints_a_table_and_writes_json(capsys, tmp_path):
    path = save(answered(WRONG), tmp_path, "00")
    out = tmp_path / "grades.json"
    assert main(["grade", str(path), "--out", str(out), "--timeout", "300"]) == 0
    shown = capsys.readouterr().out
    assert "✗ variance or std" in shown
    assert shown.endswith("1 student, 1 hand-in: 0 of 1 passed\n")
    (saved,) = json.loads(out.read_text("utf-8"))
    assert (saved["file"], saved["student"]) == (str(path), "student")
    assert (saved["notebook"], saved["passed"]) == ("00_start_here", 0)
    (mark,) = saved["marks"]
    assert (mark["verdict"], mark["mistake"]) == ("wrong", "variance_or_std")
    assert re.match("measured .*; expected ", mark["detail"])
    assert mark["hint"].endswith("Which f leaves a?")
    assert main(["grade", str(tmp_path / "none.ipynb")]) == 1


# --- files as they come from students -------------------------------------------------


def cells(*sources: str, name: str = "source", **more: object) -> list[dict]:
    return [{"cell_type": "code", name: text, **more} for text in sources]


def as_bytes(*sources: str) -> bytes:
    """Return a notebook that has no more than it must."""
    return json.dumps({"cells": cells(*sources)}, ensure_ascii=False).encode()


DAMAGED = {
    "no ids, metadata, tags, version": as_bytes(RIGHT, CHECK),
    "lines in a list, as Colab writes": json.dumps(
        {"cells": cells(RIGHT.splitlines(keepends=True), [CHECK], id=3)}
    ).encode(),
    "version 3": json.dumps(
        {"nbformat": 3, "worksheets": [{"cells": cells(RIGHT, CHECK, name="input")}]}
    ).encode(),
    "byte-order mark, and lines of Windows": b"\xef\xbb\xbf"
    + json.dumps({"cells": cells(RIGHT, CHECK)}, indent=1)
    .replace("\n", "\r\n")
    .encode(),
    "UTF-16": as_bytes(RIGHT, CHECK).decode().encode("utf-16"),
    "Latin-1": as_bytes(RIGHT + "  # schön", CHECK).decode().encode("latin-1"),
    "half an emoji": as_bytes(RIGHT + "  # HALF", CHECK).replace(b"HALF", b"\\ud83d"),
    "outputs that are none": json.dumps(
        {"cells": cells(RIGHT, CHECK, outputs=None, execution_count="x")}
    ).encode(),
}


@pytest.mark.parametrize("label", DAMAGED)
def test_a_file_is_read_whatever_it_lacks(label, tmp_path):
    path = tmp_path / "anna_00_start_here.ipynb"
    path.write_bytes(DAMAGED[label])
    (graded,) = grade([path], **LIMITS)
    assert (graded.passed, graded.fault) == (1, ""), str(graded)


def test_half_a_character_in_an_error_or_a_name_is_written_as_its_escape(tmp_path):
    path = Path(f"{tmp_path}/J\udcf6rg_00_start_here.ipynb")
    raises = "def mix(x0, eps, a):\n    raise OSError('\\ud83d')"
    try:
        path.write_bytes(as_bytes(raises, CHECK))
    except OSError:
        pytest.skip("the file system takes names in UTF-8 only")
    (graded,) = grade([path], **LIMITS)
    (mark,) = graded.marks
    assert graded.student == r"J\udcf6rg"
    assert r"OSError: \ud83d" in mark.detail
    for text in (str(graded), mark.detail, graded.file):
        text.encode()


def of(*stems: str) -> list[str]:
    """Return the checks of chapters, as they are called, and a cell of notes."""
    known = tasks(module.NOTEBOOKS)
    return ["notes = 1"] + [f"c.{t.check}({t.answer})" for s in stems for t in known[s]]


@pytest.mark.parametrize(
    ("name", "code", "found"),
    [
        ("anna_02_closed_form (1).ipynb", [], ["02_closed_form"]),
        ("Untitled.ipynb", of("02_closed_form"), ["02_closed_form"]),
        ("Untitled.ipynb", of("02_closed_form")[:3], ["02_closed_form"]),  # half
        ("Untitled.ipynb", of("02_closed_form")[:2], []),
        ("Untitled.ipynb", [RIGHT], ["00_start_here"]),
        (
            "02_closed_form.ipynb",
            of("01_forward_chain", "02_closed_form"),
            ["01_forward_chain", "02_closed_form"],
        ),
        (
            "Untitled.ipynb",
            ["my_guess = 1\ndef alpha_bars(b):\n    q_sample = 2", "x = q_sampled"],
            ["02_closed_form"],
        ),
        ("02_closed_form.ipynb", [RIGHT], ["02_closed_form"]),
        ("Untitled.ipynb", [], []),
    ],
)
def test_a_notebook_is_known_by_its_name_or_its_exercises(name, code, found):
    known = tasks(module.NOTEBOOKS) | {"10_no_exercise": []}
    assert chapters(name, code, known) == found


def test_a_file_that_is_like_no_notebook_is_told_so(tmp_path):
    path = tmp_path / "Untitled.ipynb"
    path.write_bytes(as_bytes("x = 1"))
    other = tmp_path / "notes.ipynb"
    other.write_text("")
    first, second = grade([path, other])
    assert (first.notebook, first.passed, first.marks) == (None, 0, [])
    assert "rename it after one of 00_start_here" in str(first)
    assert "notes.ipynb is not a notebook" in str(second)


def test_a_class_is_graded_with_what_is_wrong_with_its_files(capsys, tmp_path):
    whole = as_bytes(RIGHT, CHECK)
    files = {
        **dict.fromkeys(["Anna", "Bert", "Carla", "=Dora"], ("", whole)),
        "Emil": ("", as_bytes(WRONG, CHECK)),
        "Fritz": ("", as_bytes(STUB, CHECK)),
        "Gerda": ("deep/er", as_bytes(STUB, CHECK, "%%time\n" + RIGHT)),
        # damaged: cut short, renamed with no check left, no file at all
        "Hans": ("", whole[:-20]),
        "Ida": ("", as_bytes(RIGHT)),
        "Jo": None,
    }
    for number, (name, held) in enumerate(files.items()):
        folder = tmp_path / "in" / f"{name} Moss_{number}_assignsubmission_file_"
        folder.mkdir(parents=True)
        if held:
            (folder / held[0]).mkdir(parents=True, exist_ok=True)
            stem = "Untitled" if name == "Ida" else "00_start_here (1)"
            (folder / held[0] / f"{stem}.ipynb").write_bytes(held[1])
    out = tmp_path / "grades.csv"
    flags = ["--out", str(out), "--timeout", "300"]
    assert main(["grade", str(tmp_path / "in"), *flags]) == 1
    shown = capsys.readouterr().out
    signs = dict(re.findall(r"^(\S+) Moss +([✓✗○!·])  \d of 1$", shown, re.MULTILINE))
    assert list(signs) == sorted(files)
    assert "".join(signs[name] for name in files) == "✓✓✓✓✗○✓!✓·"
    assert re.search(
        r"^0\.1 .* 6 of 9  (?=.*1 × variance or std)(?=.*1 × not a)(?=.*1 × error)",
        shown,
        re.MULTILINE,
    )
    assert shown.count("NOT GRADED") == 2
    assert shown.endswith("10 students, 10 hand-ins: 6 of 10 passed\n")
    rows = list(csv.reader(out.read_text("utf-8-sig").splitlines()))
    assert [row[0] for row in rows[1:3]] == ["'=Dora Moss", "Anna Moss"]
    points = {row[0].strip("'").removesuffix(" Moss"): row[4] for row in rows[1:]}
    assert [points[name] for name in files] == [*"1111001011"[:-1], ""]


# --- whose they are -------------------------------------------------------------------


def tree(top: Path, *names: str) -> None:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()


def owners(top: Path, *paths: str) -> dict[str, str]:
    found = hand_ins([top / path for path in paths], ["02_closed_form"])
    return {str(path.relative_to(top)): student for path, student in found.items()}


def test_the_student_is_named_by_the_file_or_the_folder(tmp_path):
    names = {
        "anna_02_closed_form.ipynb": "anna",
        "bert-02_closed_form-Copy1.ipynb": "bert",
        "Carla Moss_1234_assignsubmission_file_02_closed_form.ipynb": "Carla Moss",
        "dora_Copy_of_02_closed_form (2).ipynb": "dora",
        "Kopie von 02_closed_form.ipynb": "flat",
        "Copy_of_02_closed_form.IPYNB": "flat",
        "02_closed_form.ipynb": "flat",
        "Untitled.ipynb": "flat",
    }
    tree(tmp_path / "flat", *names)
    expected = {f"flat/{name}": student for name, student in names.items()}
    assert owners(tmp_path, "flat") == expected
    assert owners(tmp_path, *expected) == expected


def test_a_folder_in_a_folder_is_one_students(tmp_path, monkeypatch):
    expected = {
        "anna/02_closed_form.ipynb": "anna",
        "anna/ps1/me_02_closed_form.ipynb": "anna",
        "Bert Moss_77_assignsubmission_file_/x.ipynb": "Bert Moss",
        "carla": "carla",
    }
    passed_over = (
        ".ipynb_checkpoints/02_closed_form-checkpoint.ipynb",
        "anna/.ipynb_checkpoints/02_closed_form-checkpoint.ipynb",
        "__MACOSX/anna/._02_closed_form.ipynb",
        "anna/._02_closed_form.ipynb",
        "anna/02_closed_form.pdf",
        "carla/report.pdf",
    )
    tree(tmp_path, *expected.keys() - {"carla"}, *passed_over)
    assert owners(tmp_path, ".") == expected
    monkeypatch.chdir(tmp_path / "anna")
    here = hand_ins(["02_closed_form.ipynb"], ["02_closed_form"])
    assert list(here.values()) == ["anna"]
    # pictures beside notebooks are no student's
    tree(tmp_path / "anna", "images/a.png")
    assert "images" not in hand_ins([tmp_path / "anna"], []).values()


def test_what_is_not_there_is_said_at_once(tmp_path):
    tree(tmp_path, "empty/a.pdf", "empty/.b.ipynb", "02_closed_form.ipynb")
    with pytest.raises(FileNotFoundError, match="none is not there: neither"):
        owners(tmp_path, "02_closed_form.ipynb", "none")
    with pytest.raises(ValueError, match="empty holds no notebook"):
        owners(tmp_path, "02_closed_form.ipynb", "empty")


def test_a_student_without_a_notebook_is_not_left_out(tmp_path):
    tree(tmp_path, "carla/report.pdf", "anna/00_start_here.ipynb")
    _, carla = grade([tmp_path])
    assert (carla.student, carla.marks) == ("carla", [])
    assert carla.fault == "no notebook in it: no file that ends in .ipynb"


# --- folders for temporary files ------------------------------------------------------


def test_workers_start_if_that_folder_has_a_long_name(monkeypatch, tmp_path):
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    server = ForkServer()  # one that does not run yet, in a process that has no folder
    monkeypatch.setattr(module.forkserver, "ensure_running", server.ensure_running)
    config = multiprocessing.current_process()._config
    monkeypatch.delitem(config, "tempdir", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    module._server()
    server._stop()
    assert list(folder.iterdir()) == []
    assert tempfile.gettempdir() == str(folder)


# --- the tables -----------------------------------------------------------------------


def show() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, (nb, verdict, _) in HOSTILE.items():
            (graded,) = grade([save(nb, folder, "00")], **limits(label))
            (mark,) = graded.marks
            fine = "" if mark.verdict == verdict else "  ← WRONG"
            print(f"{label:40} {mark.seconds:5.1f} s  {mark}{fine}")
        for number, path in PATHS.items():
            nb = read(number)
            for state, each in (("unsolved", nb), ("solved", solve(copy.deepcopy(nb)))):
                (graded,) = grade([save(each, folder, number)])
                seconds = sum(mark.seconds for mark in graded.marks)
                of = f"{graded.passed} of {len(graded.marks)}"
                print(f"{path.stem:28} {state:9} {of:8} {seconds:6.1f} s")


if __name__ == "__main__":
    show()
