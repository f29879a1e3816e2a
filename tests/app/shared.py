"""What tests of the application share: small models, trainings, how to compare them."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import minddpm
from minddpm import DDPM, MLP, History, Schedule, UNet, ancestral

ROOT = Path(__file__).resolve().parents[2]
NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    "MLP": lambda: MLP(2, 8, 3, n_layers=2, null_label="zero"),
    "MLP without labels": lambda: MLP(3, 8),
    "UNet": lambda: UNet(1, 8, 3),
    "UNet in colour": lambda: UNet(3, 4, 0, patch=1, widths=(1, 2, 2)),
}
SCHEDULES = {
    "linear": Schedule.linear(20, 1e-3, 0.3),
    "cosine": Schedule.cosine(7),
    "sigmoid": Schedule.sigmoid(9),
    "own": Schedule.from_betas([0.1, 0.7, 0.2]),
}


def environment(**variables: str) -> dict[str, str]:
    """The variables of a process that imports this package, on one thread."""
    path = os.pathsep.join([str(ROOT), *sys.path])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}


# --- models ---------------------------------------------------------------------------


def randomised(net: torch.nn.Module) -> torch.nn.Module:
    """Give every weight a value; some are made as zeros."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.1, generator=generator)
    return net


def small() -> DDPM:
    return DDPM(randomised(MLP(2, 4, 3, n_layers=1)), schedule=SCHEDULES["own"])


def shape(ddpm: DDPM) -> tuple[int, ...]:
    net = ddpm.nn_model
    return (net.dim,) if isinstance(net, MLP) else (net.in_channels, 8, 8)


def assert_equal(one: DDPM, other: DDPM) -> None:
    """The same model: weights, tables, settings, and samples, to the last bit."""
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
        assert tensor.dtype == states[1][name].dtype
        assert tensor.stride() == states[1][name].stride(), name
    for name, table in one.schedule.tables().items():
        assert torch.equal(table, getattr(other.schedule, name)), name
    assert type(one.nn_model) is type(other.nn_model)
    for name in ("drop_prob", "prediction", "n_T", "n_classes"):
        assert getattr(one, name) == getattr(other, name)
    samples = []
    for ddpm in (one, other):
        draws = torch.Generator().manual_seed(3)
        x_T = torch.randn(4, *shape(ddpm), generator=draws)
        c = torch.arange(4) % ddpm.n_classes if ddpm.n_classes else None
        walk = ancestral(ddpm.eval(), x_T, c, generator=draws)
        samples.append(minddpm.sample(walk))
    assert torch.equal(*samples)


# --- trainings ------------------------------------------------------------------------


def begun(network: str, n: int = 18) -> tuple[DDPM, tuple[torch.Tensor, torch.Tensor]]:
    """A model and its data; with 18 samples an epoch ends inside a batch."""
    torch.manual_seed(0)
    ddpm = DDPM(NETWORKS[network](), schedule=Schedule.cosine(9), prediction="v")
    generator = torch.Generator().manual_seed(5)
    x0 = torch.randn(n, *shape(ddpm), generator=generator)
    return ddpm, (x0, torch.arange(n) % 3)


def assert_same_training(
    one: tuple[DDPM, History], other: tuple[DDPM, History]
) -> None:
    """Two pairs of model and history hold the same numbers in the same layout."""
    assert_equal(one[0], other[0])
    first, second = one[1], other[1]
    for name in ("config", "step"):
        assert getattr(first, name) == getattr(second, name)
    assert torch.equal(first.losses, second.losses)
    assert torch.equal(first.queue, second.queue)
    assert torch.equal(first.generator.get_state(), second.generator.get_state())
    for name in ("updates", "swapped", "decay"):
        assert getattr(first.ema, name) == getattr(second.ema, name)
    for a, b in zip(first.ema.shadow, second.ema.shadow, strict=True):
        assert torch.equal(a, b)
        assert a.stride() == b.stride()
    assert type(first.optimiser) is type(second.optimiser)
    moments = first.optimiser.state_dict(), second.optimiser.state_dict()
    groups = [dict(state["param_groups"][0]) for state in moments]
    for group in groups:
        group["fused"] = bool(group["fused"])  # None is as good
    assert groups[0] == groups[1]
    assert moments[0]["state"].keys() == moments[1]["state"].keys()
    for k, values in moments[0]["state"].items():
        loaded = moments[1]["state"][k]
        assert values.keys() == loaded.keys()
        for name, value in values.items():
            assert torch.equal(value, loaded[name]), (k, name)
            assert value.stride() == loaded[name].stride(), (k, name)
            assert value.dtype == loaded[name].dtype


@contextmanager
def at_step(
    monkeypatch: pytest.MonkeyPatch, step: int, do: Callable[[], object]
) -> Iterator[None]:
    """Do something in the middle of a step: its draws are made, its weights not."""
    calls, draw = [], DDPM.draw

    def drawing(self: DDPM, *args: Any, **options: Any) -> Any:
        calls.append(0)
        if len(calls) == step:
            do()
        return draw(self, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(DDPM, "draw", drawing)
        yield


def interrupted_by(number: int) -> Callable[[], object]:
    return lambda: os.kill(os.getpid(), number)
