"""How pytest runs this project; nbval makes one test of every notebook cell.

Tags of a cell that count here, beside nbval's own: `skip-execution` (the cell is not
run) and `timeout=SECONDS` (its own limit, in place of the one in pyproject.toml).
"""

import os
from collections.abc import Generator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes that share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when PyTorch is imported

collect_ignore = ["tools"]  # the maintainers' scripts have nothing to collect

try:
    import hypothesis
except ImportError:  # only some tests need it, and Colab does not have it
    pass
else:
    # The same examples on every machine and in every run, however slow it is.
    hypothesis.settings.register_profile(
        "repeatable", derandomize=True, deadline=None, database=None
    )
    hypothesis.settings.load_profile("repeatable")


def _is_cell(item: pytest.Item) -> bool:
    return type(item).__name__ == "IPyNbCell"


def _tags(item: pytest.Item) -> list[str]:
    return item.cell.metadata.get("tags", [])


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Prepare the cells, and skip network tests that nobody asked for."""
    asked = "network" in config.option.markexpr
    offline = pytest.mark.skip(reason="needs the internet; run with -m network")
    for item in items:
        if _is_cell(item):
            # Late outputs of a finished cell: nbval's 5 s are short on a busy machine.
            item.output_timeout = 60
            if "skip-execution" in _tags(item):
                item.options["skip"] = True
            # A cell runs in a process of its own. What is warned about in this one
            # is Jupyter's client, whose warnings are not ours to mend.
            item.add_marker(pytest.mark.filterwarnings("default"))
        elif item.get_closest_marker("network") and not asked:
            item.add_marker(offline)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Let the tag `timeout=SECONDS` set the limit of its cell, and of no other."""
    tags = _tags(item) if _is_cell(item) else []
    limits = [float(tag[8:]) for tag in tags if tag.startswith("timeout=")]
    if not limits:
        return (yield)
    option = item.config.option
    usual, option.nbval_cell_timeout = option.nbval_cell_timeout, limits[-1]
    try:
        return (yield)
    finally:
        option.nbval_cell_timeout = usual
