"""How an exercise is written in a notebook: its check, and its folded solution.

The check is a code cell whose last line is `checks.check_<what>(answer)`. The solution
is a Python block in a folded `<details>` block with the summary "Solution".
"""

import ast
import json
import re
from pathlib import Path
from typing import NamedTuple

FOLDED = re.compile(
    r"<details>\s*<summary>(.*?)</summary>(\n\n.*?\n\n|)\s*</details>", re.DOTALL
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Task(NamedTuple):
    """What an exercise asks for: a check's name, and the name of the answer."""

    check: str
    answer: str


def read_task(source: str) -> Task | None:
    """Read the last line of a code cell, `checks.check_<what>(answer)`.

    Args:
        source: the cell.

    Returns:
        The names of check and answer; None if the cell ends in something else.

    >>> read_task("checks.check_q_step(q_step)")
    Task(check='check_q_step', answer='q_step')
    """
    try:
        last = ast.parse(source).body[-1:]
    except SyntaxError:  # a magic
        return None
    call = last[0].value if last and isinstance(last[0], ast.Expr) else None
    if not isinstance(call, ast.Call):
        return None
    check = ast.unparse(call.func).rpartition(".")[2]
    names = [arg.id for arg in call.args if isinstance(arg, ast.Name)]
    if not check.startswith("check_") or len(names) != 1:
        return None
    return Task(check, names[0])


def folded(text: str, summary: str) -> list[str]:
    """Find the folded blocks that carry a summary.

    Args:
        text: a markdown cell.
        summary: such as "Solution" or "Answer".

    Returns:
        What is inside each of them.
    """
    return [body for head, body in FOLDED.findall(text) if head.strip() == summary]


def strip_solutions(text: str) -> str:
    """Take the folded solutions out of a text, and nothing else.

    Args:
        text: a markdown cell.

    Returns:
        The rest; empty if there was nothing else.

    >>> strip_solutions("<details><summary>Solution</summary></details> Next.")
    'Next.'
    """

    def kept(block: re.Match[str]) -> str:
        return "" if block[1].strip() == "Solution" else block[0]

    return FOLDED.sub(kept, text).strip() if folded(text, "Solution") else text


def read_code(path: Path) -> list[str]:
    """Read the code cells of a notebook, whatever else is in the file.

    Args:
        path: an .ipynb file of any version, with or without ids, tags and outputs.

    Returns:
        The source of each; where a byte or half a character is damaged, another
        character stands.

    Raises:
        ValueError: if the file is not a notebook.
    """
    raw = path.read_bytes()
    try:
        notebook = json.loads(raw.decode(json.detect_encoding(raw), "replace"))
        old = "worksheets" in notebook  # before version 4
        sheets = notebook["worksheets"] if old else [notebook]
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
        name = "input" if old else "source"
        sources = [cell[name] for cell in cells if cell["cell_type"] == "code"]
        return ["".join(s).encode("utf-8", "replace").decode() for s in sources]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path.name} is not a notebook ({type(error).__name__}: {error}); "
            "save it again in Jupyter, as .ipynb"
        ) from None
