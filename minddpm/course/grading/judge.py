"""Run what one answer needs, and check it; the grader does so in a process of its own.

The answer is the one that counted when its check was last called; where there is none,
or only the stub that was handed out, the last one in the notebook (see `usable`). Only
the statements run that it uses, directly or through others: those that bind a name it
needs or change what has that name (`x[0] = …`, `x.y = …`, `x.append(…)`). Training and
figures that no answer uses are not run. What is named in text alone, as in `exec` or
`globals()`, is not found.

The exercises, and the whole package under them, are imported first and then forgotten:
what student code imports under these names is a second copy. Overwriting it changes
nothing here. This keeps honest marks honest, and is no security sandbox: the answer
runs in the process that judges it, and code that is out to cheat can find the judge in
memory.
"""

import ast
import builtins
import json
import linecache
import os
import re
import symtable
import sys
import textwrap
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
        self.is_stub = _is_stub(node)


def _is_stub(node: ast.stmt) -> bool:
    """Return whether a statement is an answer that is still open."""
    if isinstance(node, ast.Assign):
        return ast.unparse(node.value) == "..."
    return (
        isinstance(node, ast.FunctionDef)
        and isinstance(node.body[-1], ast.Raise)
        and "NotImplementedError" in ast.unparse(node.body[-1])
        and not any(isinstance(inner, ast.Return) for inner in ast.walk(node))
    )


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
    """Parse a cell; one with magics, `name?` or an indent again, without them.

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
        extra = r"^([ \t]*)([%!].*|\S+\?+[ \t]*$)"
        plain = re.sub(extra, r"\1pass", source, flags=re.MULTILINE)
        return ast.parse(textwrap.dedent(plain)).body


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


def defined(answer: str) -> str:
    """Return what tells a cell that defines an answer, even one that is not Python.

    Args:
        answer: its name.

    Returns:
        A regular expression for a text of several lines.
    """
    return rf"^[ \t]*(def\s+{answer}\b|{answer}\s*=(?!=))"


def usable(
    cells: list[str], statements: list[Statement], task: Task
) -> tuple[str, list[Statement]]:
    """Find the answer, wherever it stands, and what was there for it.

    Args:
        cells: the code cells of the notebook.
        statements: all that is in them, in order.
        task: which check, of which answer.

    Returns:
        The name of the answer: the one asked for, or else one that the check was given;
        and the statements in the cells up to its last check, or, if no answer is there,
        up to the last answer. Of what is below, those that bind other names follow.
    """
    call = re.compile(rf"\b{task.check}\s*\(\s*(\w*)")
    calls = [(n, name) for n, c in enumerate(cells, 1) for name in call.findall(c)]
    for answer in (task.answer, *(name for _, name in reversed(calls))):
        own = [s for s in statements if answer in s.binds]
        whole = [s for s in own if not s.is_stub]
        if whole:
            break
    else:
        return task.answer, statements
    end = calls[-1][0] if calls else 0
    if whole[0].cell > end:
        # a function rather than what has its name later, such as a loss
        functions = [s for s in whole if isinstance(s.node, ast.FunctionDef)]
        end = (functions or whole)[-1].cell
    kept = [s for s in statements if not (s.is_stub and s in own)]
    taken = {n for s in kept if s.cell <= end and not s.is_stub for n in s.binds}
    taken |= vars(builtins).keys()
    new = [s for s in kept if s.cell > end and s.binds and not s.binds & taken]
    return answer, [s for s in kept if s.cell <= end] + new


def mark(cells: list[str], task: Task) -> dict[str, Any]:
    """Run what an answer needs, and check it. The process is not fit for use after it.

    Args:
        cells: the code cells of the notebook.
        task: which check, of which answer.

    Returns:
        `verdict`: "passed", "wrong", "not attempted" or "error"; `mistake`: its name,
        or None; `detail`: what was measured and expected, as text; `hint`: what to look
        at next, if it is wrong.
    """
    exercise = EXERCISES[task.check.removeprefix("check_")]
    for name in [name for name in sys.modules if name.partition(".")[0] == "minddpm"]:
        del sys.modules[name]
    main = types.ModuleType("__main__")
    vars(main)["display"] = lambda *args, **kwargs: None
    sys.modules["__main__"] = main
    verdict: dict[str, Any] = {"verdict": "error", "mistake": None, "hint": ""}
    statements, broken = _read(cells)
    answer, there = usable(cells, statements, task)
    if not any(answer in s.binds and not s.is_stub for s in there):
        for number, error in broken.items():
            if re.search(defined(answer), cells[number - 1], re.MULTILINE):
                return verdict | {"detail": f"{answer} is in a broken cell: {error}"}
    trouble = [*_run(needed(there, answer), vars(main)), *broken.values()][:1]
    if answer not in vars(main):
        detail = "; ".join([f"no code cell defines {answer}", *trouble])
        return verdict | {"detail": detail}
    report = exercise.check(vars(main)[answer])
    facts = report._parts()[2]
    known = [k for k in ("measured", "expected", "apart") if k in facts]
    said = [f"{name} {facts[name]}" for name in known]
    verdict["mistake"] = report.mistake
    verdict["verdict"] = "wrong" if report.attempted else "not attempted"
    if report.passed:
        return verdict | {"verdict": "passed", "detail": "; ".join(said)}
    hint = report.hint if report.attempted else ""
    return verdict | {"detail": "; ".join(said + trouble), "hint": hint}


def _read(cells: list[str]) -> tuple[list[Statement], dict[int, str]]:
    """Return the statements of all cells, and of those that have none, why."""
    statements: list[Statement] = []
    broken = {}
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
            broken[number] = f"code cell {number}: {type(error).__name__}: {error}"
    return statements, broken


def _run(statements: list[Statement], namespace: dict[str, Any]) -> list[str]:
    """Run statements; return what went wrong."""
    trouble = []
    for s in statements:
        code = compile(ast.Module([s.node], []), f"<cell {s.cell}>", "exec")
        try:
            exec(code, namespace)
        except BaseException as error:  # SystemExit too; the next one runs, as there
            trouble.append(f"code cell {s.cell}: {type(error).__name__}: {error}")
    return trouble


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
