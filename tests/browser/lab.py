"""JupyterLab on this machine, and a notebook in it as a reader has it before them."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from rooms import ROOT

START, RUN, ACT = 180, 600, 60  # seconds: the most for a start, all cells, a move

# JupyterLab, ended by the end of its input: so not even a killed test leaves it behind.
WATCHED = """
import os, signal, sys, threading
from jupyterlab.labapp import main

def follow():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=follow, daemon=True).start()
main()
"""

# In the page: the kernel of the notebook in front, and what it says that it should not.
KERNEL = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel"
READY = f"{KERNEL}?.connectionStatus === 'connected' && {KERNEL}.status === 'idle'"
LISTEN = f"""() => {{
    [window.errors, window.stderr] = [[], ''];
    {KERNEL}.iopubMessage.connect((_, {{header, content}}) => {{
        if (header.msg_type === 'error')
            window.errors.push(content.traceback.join('\\n'));
        if (content.name === 'stderr')
            window.stderr += content.text;  // it may come in the middle of a line
    }});
}}"""
EXECUTE = f"""async (code) => {{
    const reply = await {KERNEL}.requestExecute({{code}}).done;
    return reply.content.status;
}}"""
COMMAND = "(id) => window.jupyterapp.commands.execute(id)"
COUNTS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .filter(cell => cell.type === 'code').map(cell => cell.executionCount)"""


# JupyterLab asks every new kernel for its widgets, over a comm with this target. It is
# there from `import ipywidgets` on; before, the kernel logs on stderr that it knows
# neither the target nor the comm.
ASKS = "jupyter.widget.control"


def executable() -> str | None:
    """Return the path of a browser, or None where `$MINDDPM_BROWSER` is not set.

    Raises:
        FileNotFoundError: if `$MINDDPM_BROWSER` asks for one that is not there.
    """
    wish = os.environ.get("MINDDPM_BROWSER", "")
    if not wish:
        return None
    names = ["chromium", "chromium-browser", "google-chrome", "chrome"]
    if wish != "required":
        names = [wish]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise FileNotFoundError(
            f"MINDDPM_BROWSER={wish}, but there is no {' or '.join(names)} on the "
            "PATH; install Chromium, or give its path in MINDDPM_BROWSER"
        )
    return found


@contextmanager
def server(notebooks: Path, folder: Path) -> Iterator[str]:
    """Serve a copy of the notebooks, with settings of nobody.

    Args:
        notebooks: the folder to copy.
        folder: an empty one; everything that Jupyter writes goes there.

    Yields:
        The address, with a `{}` for the notebook's name.
    """
    skip = shutil.ignore_patterns(".ipynb_checkpoints")
    shutil.copytree(notebooks, folder / "notebooks", ignore=skip)
    for name in ("config", "data", "runtime", "ipython", "settings", "workspaces"):
        (folder / name).mkdir()
    token = secrets.token_hex(16)
    homes = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    command = [
        *(sys.executable, "-c", WATCHED, "--no-browser", "--allow-root"),
        "--expose-app-in-browser",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={folder / 'notebooks'}",
        f"--IdentityProvider.token={token}",
        f"--LabApp.app_settings_dir={ROOT / 'tools/lab'}",  # as `make lab`
        f"--LabApp.user_settings_dir={folder / 'settings'}",
        f"--LabApp.workspaces_dir={folder / 'workspaces'}",
    ]
    log = folder / "jupyter.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=os.environ | {key: str(folder / home) for key, home in homes.items()},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START
        # it takes the first free port, and writes down which when it listens
        while (port := _port(folder / "runtime")) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no JupyterLab: {log.read_text('utf-8')[-2000:]}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/doc/tree/{{}}?token={token}&reset"
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()  # its kernels notice, and end themselves
            process.wait()


def _port(runtime: Path) -> int | None:
    for path in runtime.glob("jpserver-*.json"):
        text = path.read_text("utf-8")
        if text.rstrip().endswith("}"):  # all of it is written
            return json.loads(text)["port"]
    return None


class Page:
    """A notebook in the browser, with a kernel of its own.

    Args:
        browser: playwright's.
        address: as `server` yields it.
        path: the notebook.

    Attributes:
        cells: of the notebook's file.
        page: playwright's.
        seconds: of running all cells.
    """

    def __init__(self, browser: Any, address: str, path: Path) -> None:
        self.path, self.cells = path, nbformat.read(path, as_version=4).cells
        self.context = browser.new_context(viewport={"width": 1280, "height": 720})
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * ACT)
        self.crashes: list[str] = []
        self.unknown = {f"No such comm target registered: {ASKS}"}
        self.page.on("websocket", lambda s: s.on("framesent", self._sends))
        self.page.on("pageerror", lambda error: self.crashes.append(str(error)))
        self.page.goto(address.format(path.name), timeout=1000 * START)
        # what is asked of it before it is ready is dropped without a word
        self.page.wait_for_function(READY, timeout=1000 * START)
        self.page.evaluate(LISTEN)

    def _sends(self, message: str | bytes) -> None:
        """Note over which comms JupyterLab asks for widgets."""
        text = message if isinstance(message, str) else message.decode(errors="replace")
        if f'"{ASKS}"' in text:
            (comm,) = re.findall(r'"comm_id":\s*"(.+?)"', text)
            self.unknown.add(f"No such comm: {comm}")

    def run(self) -> None:
        """Clear all outputs, then run all cells to the end."""
        self.command("notebook:clear-all-cell-outputs")
        assert set(self.counts()) == {None}
        start = time.perf_counter()
        self.command("notebook:run-all-cells")
        self.page.wait_for_function(READY, timeout=1000 * START)
        self.seconds = time.perf_counter() - start

    def command(self, name: str) -> None:
        """Run one of JupyterLab's commands, and wait for its end."""
        limit = f"new Promise((_, no) => setTimeout(no, {1000 * RUN}, 'too slow'))"
        self.page.evaluate(f"(id) => Promise.race([({COMMAND})(id), {limit}])", name)

    def counts(self) -> list[int | None]:
        """Return the number in front of each code cell, in order."""
        return self.page.evaluate(COUNTS)

    def source(self, index: int) -> str:
        """Return what is written in a cell now."""
        cells = "window.jupyterapp.shell.currentWidget.content.model.cells"
        return self.page.evaluate(f"(i) => {cells}.get(i).sharedModel.source", index)

    def execute(self, code: str) -> None:
        """Run code in the kernel, in no cell."""
        assert self.page.evaluate(EXECUTE, code) == "ok"

    def complaints(self) -> list[str]:
        """Return errors and stderr of the kernel so far, and of the page's scripts."""
        red = self.page.locator(
            "[data-mime-type='application/vnd.jupyter.error'],"
            "[data-mime-type='application/vnd.jupyter.stderr']"
        )
        errors, stderr = self.page.evaluate("[window.errors, window.stderr]")
        asked = self.page.locator(".jp-Dialog, .Toastify__toast")  # such as about news
        return (
            errors
            + asked.all_inner_texts()
            + [line for line in stderr.splitlines() if line not in self.unknown]
            + self.crashes
            + [text for text in red.all_inner_texts() if text.strip()]
        )

    def close(self) -> None:
        """End the kernel, and close the page."""
        self.page.evaluate(
            "window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"
        )
        self.context.close()
