"""Grades as tables: what a teacher reads, and what other programs do."""

import csv
import io
import json
import re
import resource
import sys
from pathlib import Path

import pytest

from minddpm.__main__ import main
from minddpm.course.grading import gradebook, grader
from minddpm.course.grading.grader import Grade, Mark

TITLES = ("Exercise 2.1: a guess", "Exercise 2.2: a table", "Exercise 10.1: a jump")


def marks(*verdicts: str, first: int = 0) -> list[Mark]:
    """Return marks, each a verdict or the name of a mistake."""
    known = {"passed", "error", "not attempted"}
    return [
        Mark(title, "f", verdict, detail="crashed" if verdict == "error" else "")
        if verdict in known
        else Mark(title, "f", "wrong", verdict, "measured 1", hint="Look.")
        for title, verdict in zip(TITLES[first:], verdicts, strict=False)
    ]


GRADES = [
    Grade("carla", "c.ipynb", "10_c", marks("which_alpha", first=2)),
    Grade("anna", "a.ipynb", "02_b", marks("passed", "error")),
    Grade("anna", "a2.ipynb", "02_b", marks("which_alpha", "which_alpha")),
    Grade("=bert", "b.ipynb", "02_b", marks("not attempted", "which_alpha")),
    Grade("dora", "d.ipynb", None, [], "is not a notebook"),
]


def rows(grades: list[Grade]) -> list[dict[str, str]]:
    return list(
        csv.DictReader(io.StringIO(gradebook.as_csv(grades).decode("utf-8-sig")))
    )


def test_the_best_of_several_answers_counts_and_exercises_are_in_order():
    titles, students = gradebook.by_student(GRADES)
    assert titles == {"2.1": "a guess", "2.2": "a table", "10.1": "a jump"}
    assert list(students) == ["=bert", "anna", "carla", "dora"]
    assert [mark.verdict for mark in students["anna"].values()] == ["passed", "wrong"]


def test_the_summary_has_a_row_a_student_and_a_line_an_exercise():
    assert gradebook.summary(GRADES).splitlines() == [
        "         2   10",
        "exercise 1 2 1",
        "=bert    ○ ✗ ·  0 of 3",
        "anna     ✓ ✗ ·  1 of 3",
        "carla    · · ✗  0 of 3",
        "dora     · · ·  0 of 3",
        "✓ passed  ✗ wrong  ○ not attempted  ! error  · not handed in",
        "",
        f"2.1  {'a guess':32}     1 of 2  1 × not attempted",
        f"2.2  {'a table':32}     0 of 2  2 × which alpha",
        f"10.1 {'a jump':32}     0 of 1  1 × which alpha",
        "",
        "anna: 02_b in 2 files; the best answers count",
        "NOT GRADED d.ipynb: is not a notebook",
        "4 students, 5 hand-ins: 1 of 12 passed",
    ]


def test_the_whole_course_of_a_class_fits_a_terminal():
    titles = [e.title for e in grader.judge.EXERCISES.values()]
    assert len(titles) > 30
    grades = [
        Grade("x" * n + str(n), "a", "b", [Mark(t, "f", "passed") for t in titles])
        for n in range(30)
    ]
    lines = gradebook.summary(grades).splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.endswith(f"{len(titles)} of {len(titles)}") for line in lines) == 30


def test_csv_has_points_and_words_for_each_student():
    bert, anna, carla, dora = rows(GRADES)
    assert list(anna.items()) == [
        ("student", "anna"),
        ("score", "1"),
        ("maximum", "3"),
        ("feedback", "not handed in: 10.1 | 2.2 which alpha: Look."),
        ("Exercise 2.1", "1"),
        ("Exercise 2.2", "0"),
        ("Exercise 10.1", ""),
    ]
    assert bert["student"] == "'=bert"  # no formula
    assert "2.1 not attempted | 2.2 which alpha: Look." in bert["feedback"]
    assert carla["feedback"] == "not handed in: 2.1, 2.2 | 10.1 which alpha: Look."
    assert dora["feedback"].startswith("is not a notebook | not handed in: 2.1, 2.2")
    assert [row["score"] for row in rows(GRADES)] == ["0", "1", "0", "0"]


def test_feedback_says_what_has_no_name():
    told = [
        Mark(
            TITLES[0], "f", "wrong", None, "measured 1; expected 2", 0.1, "See eq. 4."
        ),
        Mark(TITLES[1], "f", "wrong", "raises", "measured KeyError", 0.1, "Call it."),
        Mark(TITLES[2], "f", "error", None, "crashed:\nSIGSEGV"),
    ]
    (row,) = rows([Grade("anna", "a.ipynb", "02_b", told)])
    assert row["feedback"].split(" | ") == [
        "2.1 wrong: measured 1; expected 2: See eq. 4.",
        "2.2 raises: measured KeyError: Call it.",
        "10.1 error: crashed: SIGSEGV",
    ]
    unread = Grade("a", "a.ipynb", "02_b", [Mark(TITLES[0], "f", "error", None, "x")])
    (row,) = rows([Grade("a", "a.ipynb", "02_b", unread.marks, "x")])
    assert row["feedback"] == "x"  # once


@pytest.mark.parametrize("sign", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_csv_holds_no_formulas(sign):
    (row,) = rows([Grade(sign, "a.ipynb", "02_b", marks("passed"))])
    assert row["student"] == f"'{sign}"


def test_csv_keeps_quotes_commas_and_lines_in_their_cells():
    name = 'Moss, "Anna"\nö; ᾱ'
    content = gradebook.as_csv([Grade(name, "a.ipynb", "02_b", marks("passed"))])
    assert content.startswith(
        b"\xef\xbb\xbfstudent,score,maximum,feedback,Exercise 2.1"
    )
    table = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert table[1] == [name, "1", "1", "", "1"]


# --- the command, with made-up grades -------------------------------------------------


@pytest.fixture
def _graded(monkeypatch) -> None:
    monkeypatch.setattr(grader, "grade", lambda *args, **kwargs: iter(GRADES))


@pytest.mark.usefixtures("_graded")
def test_the_command_writes_what_the_names_say(capsys, tmp_path):
    out = [tmp_path / "a.CSV", tmp_path / "b.json"]
    flags = [text for path in out for text in ("--out", str(path))]
    assert main(["grade", "x", *flags]) == 1  # d.ipynb was not graded
    assert capsys.readouterr().out.endswith(gradebook.summary(GRADES) + "\n")
    assert out[0].read_bytes() == gradebook.as_csv(GRADES)
    saved = json.loads(out[1].read_text("utf-8"))
    assert [g["student"] for g in saved] == [g.student for g in GRADES]
    assert [g["fault"] for g in saved][-2:] == ["", "is not a notebook"]
    assert saved[1]["passed"] == 1


@pytest.mark.usefixtures("_graded")
def test_what_was_done_and_what_was_not_differ_on_any_console(monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", console)
    main(["grade", "x"])
    shown = console.buffer.getvalue().decode("ascii")
    assert re.findall(r"^\S+ +(\S \S \S)  \d of 3", shown, re.MULTILINE) == [
        *("o x .", "+ x .", ". . x", ". . ."),
    ]


def test_the_command_ends_well_if_all_was_graded(monkeypatch):
    monkeypatch.setattr(grader, "grade", lambda *args, **kwargs: iter(GRADES[:4]))
    assert main(["grade", "x"]) == 0


@pytest.mark.parametrize("name", ["a.txt", "a", "csv", "none/a.csv", "folder.csv"])
def test_a_file_that_cannot_be_meant_is_refused_before_grading(
    capsys, monkeypatch, tmp_path, name
):
    monkeypatch.setattr(grader, "grade", lambda *args, **kwargs: pytest.fail("graded"))
    (tmp_path / "folder.csv").mkdir()
    assert main(["grade", "x", "--out", str(tmp_path / name)]) == 1
    assert "minddpm grade: --out " in capsys.readouterr().err


@pytest.mark.usefixtures("_graded")
@pytest.mark.parametrize("name", ["grades.csv", "grades.json"])
def test_a_full_disk_leaves_the_file_as_it_was(capsys, tmp_path, name):
    path = tmp_path / name
    path.write_text("from before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        assert main(["grade", "x", "--out", str(path)]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"{name} is still the one from before" in capsys.readouterr().err
    assert path.read_text() == "from before"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_written_before_the_work_is_done(monkeypatch, tmp_path):
    path = tmp_path / "grades.json"

    def stopped(*args: object, **kwargs: object):
        yield GRADES[0]
        assert not path.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(grader, "grade", stopped)
    assert main(["grade", "x", "--out", str(path)]) == 130
    assert list(Path(tmp_path).iterdir()) == []
