"""A browser, a server, a notebook; and the table at the end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import lab
from browser.explorer import Explorer
from rooms import ROOT

ARTEFACTS = ROOT / "build/browser"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put together what shares a notebook, so that each is run once."""
    ours = {
        i: item.callspec.params["notebook"]
        for i, item in enumerate(items)
        if "notebook" in getattr(item, "fixturenames", ()) and hasattr(item, "callspec")
    }
    grouped = [items[i] for i in sorted(ours, key=ours.__getitem__)]
    for i, item in zip(ours, grouped, strict=True):
        items[i] = item


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium; skip where there is none."""
    path = lab.executable()
    if path is None:
        pytest.skip("opens a browser; ask for it by MINDDPM_BROWSER=required")
    # outside of the tests it would stop others that need an event loop of their own
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start JupyterLab."""
    with lab.server(ROOT / "notebooks", tmp_path_factory.mktemp("lab")) as url:
        yield url


@pytest.fixture(scope="module")
def notebook(browser: Any, address: str, request: Any) -> Iterator[lab.Page]:
    """Open a notebook and run it: once, for all of its tests."""
    page = lab.Page(browser, address, request.param)
    try:
        page.run()
        yield page
    finally:
        page.close()


@pytest.fixture(scope="module")
def explorer(notebook: lab.Page, tmp_path_factory: pytest.TempPathFactory) -> Explorer:
    """Find the explorer of the notebook."""
    found = Explorer(notebook, tmp_path_factory.mktemp("explorer"))
    found.arrives()
    return found


@pytest.fixture(scope="module")
def artefacts() -> Path:
    """Make the folder for what stays."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return ARTEFACTS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table of what was done in the browser, and keep it."""
    rows = [
        (*row, "ok" if outcome == "passed" else "FAILED")
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if (row := dict(report.user_properties).get("browser"))
    ]
    if rows:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(text.ljust(n) for text, n in zip(row, widths, strict=True))
            for row in rows
        ]
        terminalreporter.section("in the browser")
        terminalreporter.write_line("\n".join(lines))
        (ARTEFACTS / "table.txt").write_text("\n".join(lines) + "\n", "utf-8")
