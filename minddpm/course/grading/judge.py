"""Run what one answer needs, and check it; the grader does so in a process of its own.

Of a notebook only the statements run that the answer uses, directly or through others:
those, in cells up to its check, that bind a name it needs or change what has that name
(`x[0] = …`, `x.y = …`, `x.append(…)`). Training and figures that no answer uses are not
run. What is named in text alone, as in `exec` or `globals()`, is not found.

The exercises, and the whole package under them, are imported first and then forgotten:
what student code imports under these names is a second copy. Overwriting it changes
nothing here. This keeps honest marks honest, and is no security sandbox: the answer
runs in the process that judges it, and code that is out to cheat can find the judge in
memory.
"""

import ast
import json
import linecache
import os
import re
import symtable
import sys
import types
from collections.abc import Iterator
from typing import Any

from minddpm.course import contents
from minddpm.course.kit.cells import Task

LONGEST = 500  # characters of any text in a verdict
READY = b"ready"
EXERCISES = contents.all_exercises()


class Statement:
    """One statement at the top level of a cell, and the names that matter in it.

    Args:
        cell: number of the code cell, from 1.
        node: the statement.
    """

    def __init__(self, cell: int, node: ast.stmt) -> None:
        self.cell, self.node = cell, node
        top = symtable.symtable(ast.unparse(node), "cell", "exec")
        self.imports = {s.get_name() for s in top.get_symbols() if s.is_imported()}
        self.binds = {s.get_name() for s in top.get_symbols() if s.is_assigned()}
        self.binds |= self.imports
        self.uses: set[str] = set()
        tables = [top]
        while tables:
            table = tables.pop()
            tables += table.get_children()
            self.uses |= {
                s.get_name()
                for s in table.get_symbols()
                if s.is_referenced() and (table is top or s.is_global())
            }
        self.changes = set(_changed(node))
        self.is_star = isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def _changed(node: ast.AST) -> Iterator[str]:
    """Yield the names whose value a statement changes in place."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
        return  # what is in it runs later, or changes names of its own
    target: ast.AST | None = None
    if isinstance(node, ast.Attribute | ast.Subscript):
        target = node if isinstance(node.ctx, ast.Store) else None
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        target = node.value.func if isinstance(node.value.func, ast.Attribute) else None
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    if isinstance(target, ast.Name):
        yield target.id
    for child in ast.iter_child_nodes(node):
        yield from _changed(child)


def parse(source: str) -> list[ast.stmt]:
    """Parse a cell; one with magics again, without them.

    Args:
        source: the cell.

    Returns:
        Its statements.

    Raises:
        SyntaxError: if it is not Python even so.
    """
    try:
        return ast.parse(source).body
    except SyntaxError:
        plain = re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE)
        return ast.parse(plain).body


def needed(statements: list[Statement], answer: str) -> list[Statement]:
    """Choose what has to run for an answer to work.

    Args:
        statements: all there are, in order.
        answer: its name.

    Returns:
        Those that it uses, directly or through others, in order.
    """
    # setting torch.allclose, say, is not a step towards any answer
    modules = set().union(*(s.imports for s in statements))
    wanted, chosen = {answer}, set[int]()
    before = -1
    while len(chosen) > before:
        before = len(chosen)
        for i, s in enumerate(statements):
            if s.is_star or wanted & (s.binds | (s.changes - modules)):
                chosen.add(i)
                wanted |= s.uses
    return [statements[i] for i in sorted(chosen)]


def mark(cells: list[str], task: Task) -> dict[str, Any]:
    """Run what an answer needs, and check it. The process is not fit for use after it.

    Args:
        cells: the code cells of the notebook.
        task: which check, of which answer.

    Returns:
        `verdict`: "passed", "wrong", "not attempted" or "error"; `mistake`: its name,
        or None; `detail`: what was measured and expected, as text.
    """
    exercise = EXERCISES[task.check.removeprefix("check_")]
    for name in [name for name in sys.modules if name.partition(".")[0] == "minddpm"]:
        del sys.modules[name]
    main = types.ModuleType("__main__")
    vars(main)["display"] = lambda *args, **kwargs: None
    sys.modules["__main__"] = main
    trouble = _run(cells, task, vars(main))
    if task.answer not in vars(main):
        trouble = [f"the notebook defines no {task.answer}", *trouble]
        return {"verdict": "error", "mistake": None, "detail": "; ".join(trouble)}
    report = exercise.check(vars(main)[task.answer])
    verdict = "wrong" if report.attempted else "not attempted"
    facts = report._parts()[2]
    detail = [
        f"{name} {facts[name]}"
        for name in ("measured", "expected", "apart")
        if name in facts
    ]
    return {
        "verdict": "passed" if report.passed else verdict,
        "mistake": report.mistake,
        "detail": "; ".join(detail if report.passed else detail + trouble),
    }


def _run(cells: list[str], task: Task, namespace: dict[str, Any]) -> list[str]:
    """Run the statements that the answer needs; return what went wrong first."""
    statements: list[Statement] = []
    trouble: list[str] = []
    checked = [bool(re.search(rf"\b{task.check}\s*\(", cell)) for cell in cells]
    for number, cell in enumerate(cells, 1):
        linecache.cache[f"<cell {number}>"] = (
            len(cell),
            None,
            cell.splitlines(keepends=True),
            f"<cell {number}>",
        )
        try:
            statements += [Statement(number, node) for node in parse(cell)]
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            trouble.append(f"code cell {number}: {type(error).__name__}: {error}")
        found = any(task.answer in s.binds for s in statements)
        # without the check's cell: up to the first that has the answer
        if not any(checked[number:]) and (checked[number - 1] or found):
            break
    for s in needed(statements, task.answer):
        code = compile(ast.Module([s.node], []), f"<cell {s.cell}>", "exec")
        try:
            exec(code, namespace)
        except BaseException as error:  # SystemExit too; the next one runs, as there
            trouble.append(f"code cell {s.cell}: {type(error).__name__}: {error}")
    return trouble[:1]


def work(channel: Any, nonce: bytes, cells: list[str], task: Task, folder: str) -> None:
    """Judge one answer and send the verdict; what a worker process runs.

    Args:
        channel: the writing end of a pipe; a line that begins with the nonce is ours.
        nonce: what student code does not know.
        cells: the code cells of the notebook.
        task: which check, of which answer.
        folder: the working directory.
    """
    os.setsid()  # so that what student code starts ends with it
    os.chdir(folder)
    os.environ["MPLBACKEND"] = "Agg"
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    # what multiprocessing has open is none of the student's business
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, 4096)
    write = os.write  # bound before student code runs

    def send(message: bytes) -> None:
        write(channel.fileno(), b"\n" + nonce + message + b"\n")

    send(READY)
    verdict = mark(cells, task)
    verdict["detail"] = verdict["detail"][:LONGEST]
    send(json.dumps(verdict).encode())
