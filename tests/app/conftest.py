"""What holds for all tests of the application."""

import pytest


@pytest.fixture(autouse=True)
def _cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on the CPU, whatever the machine has."""
    monkeypatch.setenv("MINDDPM_DEVICE", "cpu")
