"""What all tests share; helpers that they import are in rooms.py."""

from collections.abc import Iterator

import matplotlib as mpl
import pytest

# Not by $MPLBACKEND: the kernels that run notebooks would inherit it, and show nothing.
mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Start and end every test without a figure."""
    import matplotlib.pyplot as plt

    plt.close("all")
    yield
    plt.close("all")
