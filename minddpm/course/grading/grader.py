"""Grade handed-in notebooks with the checks of this package: `minddpm grade`.

Which exercises there are is read from the course's own notebooks, not from what is
handed in. Each answer is judged in a process of its own (see `judge.py`),
in an empty temporary folder, within limits of time and memory: one that hangs or
crashes costs its own marks and no others. What a notebook prints or claims is not read.

Student code runs with your rights. This is no security sandbox: grade code of people
whom you do not trust in a container or a virtual machine.
"""

import contextlib
import json
import math
import multiprocessing
import os
import re
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import psutil

from minddpm.course.grading import judge
from minddpm.course.kit.cells import Task, read_code, read_task

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
# A process imports PyTorch before the clock starts; this long is out of order.
STARTUP = 300.0
LONGEST = 2**16  # bytes from a worker
# A system's sockets have names of about 104 bytes; multiprocessing's adds 32.
LONGEST_FOLDER = 70


@dataclass(frozen=True)
class Mark:
    """What became of one exercise.

    Attributes:
        exercise: its title, such as "Exercise 1.1: one step".
        answer: the name of the answer in the notebook.
        verdict: "passed", "wrong", "not attempted" or "error".
        mistake: short name of the mistake, if the check knows it.
        detail: what was measured and expected, or what went wrong.
        seconds: how long it took.
        hint: what to look at next, if the answer is wrong.
    """

    exercise: str
    answer: str
    verdict: str
    mistake: str | None = None
    detail: str = ""
    seconds: float = 0.0
    hint: str = ""

    @property
    def sign(self) -> str:
        """Return the verdict as one sign."""
        return {"passed": "✓", "wrong": "✗", "not attempted": "○", "error": "!"}[
            self.verdict
        ]

    @property
    def said(self) -> str:
        """Return the mistake's name, or the verdict where there is no mistake."""
        named = self.mistake.replace("_", " ") if self.mistake else "no name"
        return named if self.verdict == "wrong" else self.verdict

    def __str__(self) -> str:
        error = self.verdict == "error"
        return f"{self.sign} {printable(self.detail) if error else self.said}"


@dataclass(frozen=True)
class Grade:
    """What became of one chapter of the course in one handed-in notebook.

    Attributes:
        student: whose it is, as `hand_ins` found it.
        file: its path, as given.
        notebook: name of the course's notebook; None if it is like none.
        marks: one for each exercise of that notebook.
        fault: why the file could not be graded; empty if it was.
    """

    student: str
    file: str
    notebook: str | None
    marks: list[Mark]
    fault: str = ""

    @property
    def passed(self) -> int:
        """Return the number of exercises passed."""
        return sum(mark.verdict == "passed" for mark in self.marks)

    def __str__(self) -> str:
        lines = [f"{printable(self.file)}: {self.passed} of {len(self.marks)}"]
        if self.fault:
            lines = [f"{printable(self.file)}: {printable(self.fault, 300)}"]
        for mark in self.marks if not self.fault else ():
            name = printable(mark.exercise.removeprefix("Exercise "), 44)
            lines.append(f"  {name:44}  {mark.seconds:5.1f} s  {mark}")
        return "\n".join(lines)


class Lost(Exception):
    """A worker that will not answer any more, and why."""


def printable(text: str, width: int = 80) -> str:
    """Make student text safe for a line of a terminal.

    Args:
        text: any text.
        width: characters to keep.

    Returns:
        The text without line breaks and control characters, cut off.
    """
    clean = "".join(c if c.isprintable() else " " for c in text[: 2 * width])
    return clean if len(clean) <= width else clean[: width - 1] + "…"


def writable(text: str) -> str:
    """Make text fit for any file.

    Args:
        text: any text, such as the name of a file that is not Unicode.

    Returns:
        The text; half a character, which UTF-8 does not know, is written as its escape.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def tasks(course: Path) -> dict[str, list[Task]]:
    """Read which exercises the course has.

    Args:
        course: the folder of its notebooks.

    Returns:
        The exercises in order, by the name of the notebook.

    Raises:
        ValueError: if there is no notebook, or one calls a check that is not here.
    """
    found = {
        path.stem: [task for task in map(read_task, read_code(path)) if task]
        for path in sorted(course.glob("[0-9][0-9]_*.ipynb"))
    }
    if not found:
        raise ValueError(
            f"course={str(course)!r} must be the folder with the course's notebooks; "
            "it has none like 01_forward_chain.ipynb; give it with --course"
        )
    for stem, all_of_it in found.items():
        for task in all_of_it:
            if task.check.removeprefix("check_") not in judge.EXERCISES:
                raise ValueError(
                    f"{stem}.ipynb calls {task.check}, which minddpm.course.checks "
                    "does not have; take notebooks and package of the same version"
                )
    return found


def hand_ins(paths: Sequence[str | Path], stems: Sequence[str]) -> dict[Path, str]:
    """Find the notebooks that were handed in, and whose they are.

    In a folder of FOLDER, all are one student's, who has the name of that folder, up to
    the "_123_assignsubmission_" that Moodle adds. Others have the student's name before
    the chapter's, as in anna_02_closed_form.ipynb; without one, it is the name of the
    folder. What begins with "." or "__" is passed over, such as .ipynb_checkpoints.

    Args:
        paths: notebooks and folders.
        stems: names of the chapters, such as "02_closed_form".

    Returns:
        The student of each file, in order; and of a folder that should hold one and
        does not.

    Raises:
        FileNotFoundError: if a path is not there.
        ValueError: if a folder holds no notebook.
    """
    found: dict[Path, str] = {}
    for top in map(Path, paths):
        if not top.exists():
            raise FileNotFoundError(f"{top} is not there: neither a file nor a folder")
        if not top.is_dir():
            found[top] = _owner(top, stems)
            continue
        seen = [
            path
            for path in sorted(top.rglob("*"))
            if not any(re.match(r"\.|__", p) for p in path.relative_to(top).parts)
        ]
        held = [p for p in seen if p.suffix.lower() == ".ipynb" and p.is_file()]
        if not held:
            raise ValueError(f"{top} holds no notebook: no file that ends in .ipynb")
        if not any(path.parent == top for path in held):
            homes = {path.relative_to(top).parts[0] for path in held}
            held += [
                path
                for path in seen
                if path.parent == top and path.is_dir() and path.name not in homes
            ]
        for path in sorted(held):
            is_inside = path.parent != top or path.is_dir()
            first = path.relative_to(top).parts[0]
            found[path] = first if is_inside else _owner(path, stems)
    return {p: re.sub(r"_\d+_assignsubmission_.*", "", s) for p, s in found.items()}


def _owner(path: Path, stems: Sequence[str]) -> str:
    """Return what stands before a chapter's name; or else the name of the folder."""
    before = next((path.name.partition(s)[0] for s in stems if s in path.name), "")
    # what Colab puts before the name of a copy
    copy = r"(?i)(?<![a-z])(copy|kopie|copie|copia)[ _](of|von|de|di)[ _]"
    return re.sub(copy, "", before).strip(" _-.") or path.resolve().parent.name


def grade(
    files: Sequence[str | Path],
    *,
    course: str | Path | None = None,
    timeout: float = 60.0,
    memory: int = 2048,
) -> Iterator[Grade]:
    """Grade notebooks, one after another.

    Args:
        files: the handed-in notebooks, or folders of them (see `hand_ins`). A notebook
            belongs to the chapter whose name, such as "02_closed_form", is part of its
            own, and to those of whose exercises it has half or more.
        course: folder of the course's notebooks; None is that of the repository.
        timeout: seconds for each exercise.
        memory: MiB of resident memory for each, PyTorch (about 400) included.

    Yields:
        A grade for each file and chapter, in order.

    Raises:
        ValueError: if a limit is not positive, the course's notebooks are not found, or
            a folder holds no notebook.
        FileNotFoundError: if a file or folder is not there.
        OSError: on Windows, which has no process groups and no fork.
    """
    if os.name != "posix":
        raise OSError("grading needs Linux or macOS; on Windows, run it in WSL")
    for name, limit in (("timeout", timeout), ("memory", memory)):
        if not limit > 0:
            raise ValueError(f"{name}={limit} must be above 0; raise --{name}")
    known = tasks(NOTEBOOKS if course is None else Path(course))
    for file, student in hand_ins(files, list(known)).items():
        cells, fault = [], ""
        try:
            if file.is_dir():
                raise ValueError("no notebook in it: no file that ends in .ipynb")
            cells = read_code(file)
        except (ValueError, OSError) as error:
            fault = writable(str(error))
        stems = chapters(file.name, cells, known)
        if not stems:
            fault = fault or (
                "is like no notebook of the course, in its name and its cells; if it "
                f"is one, rename it after one of {', '.join(known)}"
            )
        whose = writable(student), writable(str(file))
        if not stems:
            yield Grade(*whose, None, [], fault)
        for stem in stems:
            marks = []
            for task in known[stem]:
                title = judge.EXERCISES[task.check.removeprefix("check_")].title
                verdict: dict[str, Any] = {"verdict": "error", "detail": fault}
                if not fault:
                    verdict = _judge(cells, task, timeout, memory)
                marks.append(Mark(title, task.answer, **verdict))
            yield Grade(*whose, stem, marks, fault)


def chapters(name: str, cells: list[str], known: dict[str, list[Task]]) -> list[str]:
    """Find the chapters that a notebook belongs to.

    Args:
        name: of the file.
        cells: its code cells.
        known: the exercises of each chapter.

    Returns:
        Those whose name is part of the file's or of whose checks it calls half or more;
        if there are none, those of whose answers it defines half or more.
    """
    code = "\n".join(cells)

    def half(patterns: list[str]) -> bool:
        found = sum(bool(re.search(each, code, re.MULTILINE)) for each in patterns)
        return 0 < len(patterns) <= 2 * found

    by_check = {s: [rf"\b{t.check}\s*\(" for t in known[s]] for s in known}
    by_answer = {s: [judge.defined(t.answer) for t in known[s]] for s in known}
    return [s for s in known if s in name or half(by_check[s])] or [
        s for s in known if half(by_answer[s])
    ]


def _judge(cells: list[str], task: Task, timeout: float, memory: int) -> dict[str, Any]:
    """Judge an answer in a process of its own, and end whatever is left of it."""
    context = _server()
    nonce = secrets.token_hex().encode()
    reader, writer = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        args = (writer, nonce, cells, task, folder)
        worker = context.Process(target=judge.work, args=args, daemon=True)
        worker.start()
        writer.close()
        lines, start = Lines(reader, worker, nonce), time.perf_counter()
        try:
            lines.next(STARTUP)
            start = time.perf_counter()
            verdict: dict[str, Any] = json.loads(lines.next(timeout, memory))
        except Lost as lost:
            verdict = {"verdict": "error", "detail": str(lost)}
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker.pid, signal.SIGKILL)  # what it started, too
            worker.kill()
            worker.join()
            worker.close()
            reader.close()
    verdict["detail"] = writable(verdict["detail"])
    return verdict | {"seconds": round(time.perf_counter() - start, 2)}


def _server() -> Any:
    """Return what starts workers: forks of a server that has imported all they need."""
    forkserver.set_forkserver_preload([judge.__name__])
    usual = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
        tempfile.tempdir = "/tmp"
    try:
        forkserver.ensure_running()
    finally:
        tempfile.tempdir = usual
    return multiprocessing.get_context("forkserver")


class Lines:
    """The lines that a worker sends, if it is the worker that sends them.

    Args:
        reader: the reading end of its pipe.
        worker: its process.
        nonce: what each line of the worker begins with; others are passed over.
    """

    def __init__(self, reader: Connection, worker: Any, nonce: bytes) -> None:
        self.reader, self.worker, self.nonce = reader, worker, nonce
        self.buffer = b""

    def next(self, seconds: float, memory: float = math.inf) -> bytes:
        """Wait for the next line.

        Args:
            seconds: how long.
            memory: end the wait when the process has more MiB than this.

        Returns:
            The line, without nonce and line break.

        Raises:
            Lost: if none comes.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            line, found, rest = self.buffer.partition(b"\n")
            if found:
                self.buffer = rest
                if line.startswith(self.nonce):
                    return line.removeprefix(self.nonce)
            elif wait([self.reader], 0.05):
                # raw, so that a message cut short cannot block
                piece = os.read(self.reader.fileno(), LONGEST)
                self.buffer += piece
                if not piece:
                    raise Lost(self._end())
                if len(self.buffer) > LONGEST:
                    raise Lost("wrote into the grader's channel")
            elif (used := _resident(self.worker.pid)) > memory:
                raise Lost(f"used {used:.0f} MiB, above the limit of {memory:.0f}")
        raise Lost(f"no verdict within {seconds:.0f} s: does it end?")

    def _end(self) -> str:
        self.worker.join(5)
        code = self.worker.exitcode
        if code is None:
            return "closed the grader's channel"
        if code < 0:
            return f"crashed: {signal.Signals(-code).name}"
        return f"ended the program with status {code}"


def _resident(pid: int) -> float:
    """Return the MiB of memory that a process occupies; 0 if it is gone."""
    try:
        return psutil.Process(pid).memory_info().rss / 2**20
    except psutil.NoSuchProcess:
        return 0.0
