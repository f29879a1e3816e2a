"""Grades as tables: of a class on the terminal, and as files for other programs.

A student may hand an exercise in more than once, in copies of a notebook: the best of
the marks counts.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from minddpm.course.grading.grader import Grade, Mark, printable

BEST = ("passed", "wrong", "not attempted", "error")  # the best first
WIDTH = 100


def number(mark: Mark) -> str:
    """Return the number of an exercise, such as "2.3".

    Args:
        mark: its mark.

    Returns:
        What is between "Exercise" and the colon of its title.
    """
    return mark.exercise.removeprefix("Exercise ").partition(":")[0]


def by_student(
    grades: Sequence[Grade],
) -> tuple[dict[str, str], dict[str, dict[str, Mark]]]:
    """Sort marks by student and exercise.

    Args:
        grades: what `grade` yields.

    Returns:
        The titles of all exercises, in order, by their numbers; and the marks of each
        student, by name and number.
    """
    students: dict[str, dict[str, Mark]] = {}
    titles = {}
    for each in grades:
        row = students.setdefault(each.student, {})
        for mark in each.marks:
            key = number(mark)
            titles[key] = mark.exercise.partition(": ")[2]
            both = row.get(key, mark), mark
            row[key] = min(both, key=lambda each: BEST.index(each.verdict))
    order = sorted(titles, key=lambda key: [int(part) for part in key.split(".")])
    return {key: titles[key] for key in order}, dict(sorted(students.items()))


def summary(grades: Sequence[Grade]) -> str:
    """Write what became of a class: who did what, and which mistakes were made.

    Args:
        grades: what `grade` yields.

    Returns:
        A row for each student, a line for each exercise, and what was not graded.
    """
    titles, students = by_student(grades)
    numbers = [key.split(".") for key in titles]
    room = WIDTH - 2 * len(numbers) - 10
    width = max(8, min(room, max(map(len, students), default=0)))
    first = (
        [chapter, *["" for _ in list(group)[1:]]]
        for chapter, group in groupby(chapter for chapter, _ in numbers)
    )
    lines = [
        f"{'':{width}}" + "".join(f" {c:1}" for cells in first for c in cells),
        f"{'exercise':{width}}" + "".join(f" {n:1}" for _, n in numbers),
    ]
    total = 0
    for name, row in students.items():
        passed = sum(mark.verdict == "passed" for mark in row.values())
        signs = " ".join(row[key].sign if key in row else "·" for key in titles)
        short = printable(name, width)
        lines.append(f"{short:{width}} {signs}  {passed} of {len(titles)}")
        total += passed
    lines += ["✓ passed  ✗ wrong  ○ not attempted  ! error  · not handed in", ""]
    for key, title in titles.items():
        marks = [row[key] for row in students.values() if key in row]
        made = Counter(mark.said for mark in marks)
        right = f"{made.pop('passed', 0)} of {len(marks)}"
        rest = ", ".join(f"{n} × {name}" for name, n in made.most_common())
        lines.append(f"{key:5}{printable(title, 32):32}  {right:>9}  {rest}".rstrip())
    lines.append("")
    for (name, stem), n in Counter((g.student, g.notebook) for g in grades).items():
        if n > 1 and stem:
            said = f"{stem} in {n} files; the best answers count"
            lines.append(f"{printable(name)}: {said}")
    lines += [f"NOT GRADED {each}" for each in grades if each.fault]
    names, files = len(students), len({each.file for each in grades})
    lines.append(
        f"{names} student{'s' * (names != 1)}, {files} hand-in{'s' * (files != 1)}: "
        f"{total} of {names * len(titles)} passed"
    )
    return "\n".join(lines)


def as_json(grades: Sequence[Grade]) -> bytes:
    """Write grades as JSON.

    Args:
        grades: what `grade` yields.

    Returns:
        A list of objects with the attributes of `Grade`, and `passed`.
    """
    rows = [asdict(each) | {"passed": each.passed} for each in grades]
    return json.dumps(rows, indent=2, ensure_ascii=False).encode() + b"\n"


def as_csv(grades: Sequence[Grade]) -> bytes:
    """Write a row for each student, as a spreadsheet opens and an LMS imports it.

    Args:
        grades: what `grade` yields.

    Returns:
        Columns student, score, maximum, feedback, and one for each exercise: 1 or 0,
        empty if it was not handed in. UTF-8 with a byte-order mark, without which Excel
        spoils what is not ASCII. Text that Excel would take for a formula gets a "'".
    """
    titles, students = by_student(grades)
    text = io.StringIO(newline="")
    table = csv.writer(text)
    heads = [f"Exercise {key}" for key in titles]
    table.writerow(["student", "score", "maximum", "feedback", *heads])
    for name, row in students.items():
        points = [row[k].verdict == "passed" if k in row else None for k in titles]
        faults = [g.fault for g in grades if g.student == name and g.fault]
        missing = ", ".join(key for key in titles if key not in row)
        lacks = [*faults, f"not handed in: {missing}" if missing else ""]
        lacks += [_feedback(m, k) for k, m in row.items() if m.detail not in faults]
        said = " | ".join(printable(each, 400) for each in lacks if each)
        table.writerow(
            [_plain(name), sum(filter(None, points)), len(titles), _plain(said)]
            + ["" if point is None else int(point) for point in points]
        )
    return text.getvalue().encode("utf-8-sig")


def _feedback(mark: Mark, key: str) -> str:
    """Say in words what an answer lacks; nothing if it is passed."""
    if mark.verdict == "passed":
        return ""
    measured = mark.mistake in (None, "raises")  # where no name says it
    why = filter(None, [mark.detail if measured else "", mark.hint])
    said = "wrong" if mark.said == "no name" else mark.said
    return ": ".join([f"{key} {said}", *why])


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def check(paths: Sequence[str | Path]) -> None:
    """Refuse files that grades cannot be written to, before the work is done.

    Args:
        paths: the files.

    Raises:
        ValueError: if a name does not end in .csv or .json, or is that of a folder.
        FileNotFoundError: if its folder is not there.
    """
    for path in map(Path, paths):
        if path.suffix.lower() not in (".csv", ".json") or path.is_dir():
            raise ValueError(f"--out must be a file .csv or .json, got {str(path)!r}")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"--out {path}: its folder is not there; make it")


def content(path: str | Path, grades: Sequence[Grade]) -> bytes:
    """Write grades as the name of a file says.

    Args:
        path: the file; its name ends in .json or .csv.
        grades: what `grade` yields.

    Returns:
        All that belongs into it.
    """
    is_csv = Path(path).suffix.lower() == ".csv"
    return as_csv(grades) if is_csv else as_json(grades)
