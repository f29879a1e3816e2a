"""Grade handed-in notebooks with the checks of this package: `minddpm grade`.

Which exercises there are is read from the course's own notebook of the same name, not
from the one handed in. Each answer is judged in a process of its own (see `judge.py`),
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
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
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
    """

    exercise: str
    answer: str
    verdict: str
    mistake: str | None = None
    detail: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        named = self.mistake.replace("_", " ") if self.mistake else "no name"
        return {
            "passed": "✓ passed",
            "wrong": f"✗ {named}",
            "not attempted": "○ not attempted",
            "error": f"! {printable(self.detail)}",
        }[self.verdict]


@dataclass(frozen=True)
class Grade:
    """What became of one handed-in notebook.

    Attributes:
        file: its path, as given.
        notebook: name of the course's notebook; None if the file names none.
        marks: one for each exercise of that notebook.
    """

    file: str
    notebook: str | None
    marks: list[Mark]

    @property
    def passed(self) -> int:
        """Return the number of exercises passed."""
        return sum(mark.verdict == "passed" for mark in self.marks)

    def __str__(self) -> str:
        lines = [f"{printable(self.file)}: {self.passed} of {len(self.marks)}"]
        for mark in self.marks:
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


def grade(
    files: Sequence[str | Path],
    *,
    course: str | Path | None = None,
    timeout: float = 60.0,
    memory: int = 2048,
) -> Iterator[Grade]:
    """Grade notebooks, one after another.

    Args:
        files: the handed-in notebooks. A file belongs to the notebook of the course
            whose name, such as "02_closed_form", is part of its own.
        course: folder of the course's notebooks; None is that of the repository.
        timeout: seconds for each exercise.
        memory: MiB of resident memory for each, PyTorch (about 400) included.

    Yields:
        A grade for each file, in order.

    Raises:
        ValueError: if a limit is not positive, or the course's notebooks are not found.
        FileNotFoundError: if a file is not there.
        OSError: on Windows, which has no process groups and no fork.
    """
    if os.name != "posix":
        raise OSError("grading needs Linux or macOS; on Windows, run it in WSL")
    for name, limit in (("timeout", timeout), ("memory", memory)):
        if not limit > 0:
            raise ValueError(f"{name}={limit} must be above 0; raise --{name}")
    known = tasks(NOTEBOOKS if course is None else Path(course))
    for file in files:
        if not Path(file).is_file():
            raise FileNotFoundError(f"{file} is not a file")
    for file in files:
        yield _grade(Path(file), known, timeout, memory)


def _grade(
    file: Path, known: dict[str, list[Task]], timeout: float, memory: int
) -> Grade:
    stem = next((stem for stem in known if stem in file.name), None)
    if stem is None:
        text = f"rename it after one of {', '.join(known)}"
        return Grade(str(file), None, [Mark("", "", "error", detail=text)])
    marks = []
    cells: list[str] = []
    fault: dict[str, Any] = {}
    try:
        cells = read_code(file)
    except ValueError as error:
        fault = {"verdict": "error", "detail": str(error)}
    for task in known[stem]:
        verdict = fault or _judge(cells, task, timeout, memory)
        exercise = judge.EXERCISES[task.check.removeprefix("check_")]
        marks.append(Mark(exercise.title, task.answer, **verdict))
    return Grade(str(file), stem, marks)


def _judge(cells: list[str], task: Task, timeout: float, memory: int) -> dict[str, Any]:
    """Judge an answer in a process of its own, and end whatever is left of it."""
    # the workers are forks of one server, which has imported all there is to import
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([judge.__name__])
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
    return verdict | {"seconds": round(time.perf_counter() - start, 2)}


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


def as_json(grades: Sequence[Grade]) -> str:
    """Write grades as JSON.

    Args:
        grades: what `grade` yields.

    Returns:
        A list of objects with the attributes of `Grade`, and `passed`.
    """
    rows = [asdict(each) | {"passed": each.passed} for each in grades]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
