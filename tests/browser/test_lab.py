"""What decides whether the tests in a browser are run, skipped, or failed."""

import sys

import pytest

from browser import lab


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Return the only folder on the PATH, an empty one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MINDDPM_BROWSER", raising=False)
    return tmp_path


def test_nobody_asked(path):
    (path / "chromium").touch(mode=0o755)
    assert lab.executable() is None


@pytest.mark.parametrize("wish", ["required", "no/such/browser"])
def test_one_that_was_asked_for_must_be_there(path, monkeypatch, wish):
    monkeypatch.setenv("MINDDPM_BROWSER", wish)
    with pytest.raises(FileNotFoundError, match=f"MINDDPM_BROWSER={wish}, but there"):
        lab.executable()


@pytest.mark.skipif(sys.platform == "win32", reason="there it is chromium.exe")
def test_it_is_found_on_the_path(path, monkeypatch):
    monkeypatch.setenv("MINDDPM_BROWSER", "required")
    program = path / "chromium"
    program.touch(mode=0o755)
    assert lab.executable() == str(program)


def test_it_can_be_named(path, monkeypatch):
    monkeypatch.setenv("MINDDPM_BROWSER", sys.executable)
    assert lab.executable() == sys.executable
