"""The code and the claims of notebook 08 that no other test covers.

The loss, Algorithm 2 and the tables are in test_equations.py and test_samplers.py, the
average of weights in test_train.py; here is the class that the notebook writes by hand,
as it is printed there. Statistical tests state their standard error and fail at five
of them.
"""

import ast
import math
import re
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
import torch
from nbformat import NotebookNode
from torch import Tensor
from torch.testing import assert_close

import minddpm
from minddpm import (
    DDPM,
    EMA,
    ExactDenoiser,
    GaussianMixture,
    Schedule,
    UNet,
    data,
    loss_floor,
)
from rooms import ROOT, seeded, tool

PATH = ROOT / "notebooks" / "08_pictures.ipynb"
BETAS, T = (5e-4, 0.1), 200


def read() -> NotebookNode:
    return nbformat.read(PATH, as_version=4)


def printed() -> SimpleNamespace:
    """Return what the notebook defines by hand: functions and classes."""
    wanted = {"ddpm_schedules", "Constructor", "WithLoss", "DDPMByHand"}
    names: dict[str, Any] = {"torch": torch}
    for cell in read().cells:
        if cell.cell_type == "code" and "google.colab" not in cell.source:
            for node in ast.parse(cell.source).body:
                if getattr(node, "name", None) in wanted:
                    exec(ast.unparse(node), names)
    return SimpleNamespace(**{name: names[name] for name in wanted})


def defined(name: str) -> str:
    """Return the source of a function that the notebook defines."""
    for cell in read().cells:
        if cell.cell_type == "code" and f"def {name}(" in cell.source:
            for node in ast.parse(cell.source).body:
                if getattr(node, "name", None) == name:
                    return ast.unparse(node)
    raise AssertionError(f"no function {name} in the notebook")


def network(seed: int = 0) -> UNet:
    """Return a U-Net whose answer is not 0, as it is before training."""
    torch.manual_seed(seed)
    net = UNet(1, 8, 10)
    torch.nn.init.normal_(net.leave.weight, std=0.05)
    return net


# --- the class by hand ----------------------------------------------------------------


@pytest.mark.parametrize("n_T", [1, 7, 200])
def test_the_tables_by_hand_are_the_packages(n_T: int) -> None:
    tables, package = (
        module.ddpm_schedules(1e-3, 0.3, n_T) for module in (printed(), minddpm)
    )
    assert list(tables) == list(package)
    for name, table in tables.items():
        assert table.shape == (n_T + 1,)
        assert_close(table, package[name], rtol=1e-5, atol=1e-7)


def test_the_constructor_registers_its_tables_as_buffers() -> None:
    ddpm = printed().DDPMByHand(network(), BETAS, T, "cpu")
    tables = set(minddpm.ddpm_schedules(*BETAS, T))
    assert tables <= set(ddpm.state_dict())
    assert not tables & {name for name, _ in ddpm.named_parameters()}
    assert ddpm.to(torch.float64).sqrtab.dtype == torch.float64  # they move along


@pytest.mark.parametrize("drop_prob", [0.0, 0.1, 1.0])
def test_the_loss_by_hand_is_forward_with_the_same_draws(drop_prob: float) -> None:
    net = network()
    ours = printed().DDPMByHand(net, BETAS, T, "cpu", drop_prob)
    theirs = DDPM(net, BETAS, T, drop_prob=drop_prob)
    x = torch.randn(32, 1, 8, 8, generator=seeded(1))
    c = torch.arange(32) % 10
    assert_close(ours(x, c, seeded(2)), theirs(x, c, generator=seeded(2)))
    assert not torch.equal(ours(x, c, seeded(2)), ours(x, c, seeded(3)))


def test_the_sampler_by_hand_is_algorithm_2_with_the_variance_beta() -> None:
    net, c = network(), torch.arange(6)
    ours = printed().DDPMByHand(net, (1e-3, 0.2), 50, "cpu")
    theirs = DDPM(net, (1e-3, 0.2), 50)
    x = ours.sample(c, (1, 8, 8), seeded(4))
    how = {"c": c, "generator": seeded(4)}
    y = theirs.sample(6, (1, 8, 8), variance="beta", **how)
    assert_close(x, y, atol=1e-4, rtol=1e-4)
    how = {"c": c, "generator": seeded(4)}
    z = theirs.sample(6, (1, 8, 8), variance="posterior", **how)
    assert float((x - z).abs().max()) > 1e-2  # and the test can tell them apart


def test_the_first_average_is_two_elevenths_old() -> None:
    net = network()
    ema, before = EMA(net, decay=0.995), [p.detach().clone() for p in net.parameters()]
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1.1)
    ema.update()
    for b, p, averaged in zip(before, net.parameters(), ema.shadow, strict=True):
        assert_close(averaged, 2 / 11 * b + 9 / 11 * p)


# --- what the text says ---------------------------------------------------------------


def test_folding_moves_every_second_pixel_into_a_channel() -> None:
    x = torch.randn(3, 1, 8, 8, generator=seeded())
    parts = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    assert_close(torch.cat(parts, 1), torch.nn.functional.pixel_unshuffle(x, 2))


def test_half_the_range_is_a_quarter_of_the_signal_to_noise_ratio() -> None:
    images, _ = data.load("digits")
    schedule = Schedule.cosine(T)
    for scale, share in ((1.0, 1.0), (0.5, 0.25)):
        signal = schedule.alpha_bars[100] * (scale * images).var()
        ratio = signal / (1 - schedule.alpha_bars[100])
        assert_close(ratio, share * schedule.snr[100] * images.var())


def test_a_second_picture_and_its_own_noise_lead_to_the_same_x_t() -> None:
    images, _ = data.load("digits")
    x0, other = images[:1], images[5:6]
    eps = torch.randn(1, 1, 8, 8, generator=seeded())
    ddpm = DDPM(network(), BETAS, T)
    own, apart = float(eps.square().mean()), float((x0 - other).square().mean())
    chance = (2 / 64) ** 0.5  # standard error of the mean square of 64 normal numbers
    for t, told_apart in ((10, True), (160, False)):
        x_t = ddpm.q_sample(x0, t, eps)
        second = (x_t - ddpm.sqrtab[t] * other) / ddpm.sqrtmab[t]
        assert_close(ddpm.q_sample(other, t, second), x_t)
        # it is ε + k (x_0 − other), so larger by k² times their distance on average
        k = float(ddpm.sqrtab[t] / ddpm.sqrtmab[t])
        larger = float(second.square().mean()) - own
        assert abs(larger - k**2 * apart) < 5 * 2 * k * (apart / 64) ** 0.5
        assert (k**2 * apart > 5 * chance) == told_apart


def test_with_the_tables_swapped_time_runs_backwards() -> None:
    tables = minddpm.ddpm_schedules(*BETAS, T)
    x0, eps = torch.ones(4), torch.tensor([0.3, -1.0, 2.0, 0.1])

    def swapped(t: int) -> Tensor:
        return tables["sqrtmab"][t] * x0 + tables["sqrtab"][t] * eps

    assert_close(swapped(1), eps, atol=0.03, rtol=0)
    assert_close(swapped(T), x0, atol=0.03, rtol=0)


def overfit(bug: str, steps: int = 50) -> float:
    """Return the mean loss of the last 10 steps on one batch of 20 digits."""
    images, labels = data.load("digits")
    x, c = images[:20].repeat(2, 1, 1, 1), labels[:20].repeat(2)
    torch.manual_seed(0)
    net, draws, losses = UNet(1, 32, 10), seeded(1), []
    ddpm = DDPM(net, BETAS, T)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(steps):
        t = torch.randint(1, T + 1, (len(x),), generator=draws)
        eps = torch.randn(x.shape, generator=draws)
        mask = torch.bernoulli(torch.full((len(x),), 0.1), generator=draws)
        x_t, share = ddpm.q_sample(x, t, eps), t / T
        if bug == "inverted mask":
            mask = 1 - mask
        if bug == "no time":
            share = torch.ones_like(share)
        told = (c + 1) % 10 if bug == "labels off by one" else c
        target = eps
        if bug == "fresh noise":
            target = torch.randn(x.shape, generator=draws)
        loss = (target - net(x_t, told, share, mask)).square().mean()
        if bug != "no zero_grad":
            optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return sum(losses[-10:]) / 10


def test_which_bugs_overfitting_one_batch_reveals() -> None:
    right = overfit("")
    assert right < 0.25
    for bug in ("fresh noise", "no zero_grad"):
        assert overfit(bug) > 0.6
    for bug in ("labels off by one", "inverted mask", "no time"):
        assert overfit(bug) < 0.3


def test_two_losses_enclose_the_floor_of_the_law() -> None:
    """On a law that is known; 30 training sets give the standard error."""
    schedule = Schedule.cosine(T=20)
    law = GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.4, schedule)
    truth = loss_floor(law, n=20_000, generator=seeded())
    below, above = [], []
    for seed in range(30):
        points, _ = law.sample(40, generator=seeded(seed))
        own = ExactDenoiser(points, schedule)
        below.append(loss_floor(own, n=200, generator=seeded(seed)).mean)
        fresh, _ = law.sample(2000, generator=seeded(100 + seed))
        t = torch.randint(1, 21, (2000,), generator=seeded(200 + seed))
        eps = torch.randn(2000, 2, generator=seeded(300 + seed))
        above.append(DDPM(own, schedule=schedule).losses(fresh, t, eps=eps).mean())
    for values, sign in ((torch.tensor(below), -1), (torch.stack(above), 1)):
        error = float(values.std()) / 30**0.5 + truth.mean_standard_error
        assert sign * (float(values.mean()) - truth.mean) > 5 * error


def test_draws_of_one_picture_count_as_one_in_the_standard_error() -> None:
    m, r, sets = 50, 20, 400
    names: dict[str, Any] = {"m": m, "n": m * r, "torch": torch, "device": "cpu"}
    exec(defined("standard_error"), names)
    hard = torch.randn(sets, 1, m, generator=seeded(0))  # the same in all its draws
    losses = 0.5 * hard + torch.randn(sets, r, m, generator=seeded(1))
    losses = losses.view(sets, m * r)
    errors = torch.stack([names["standard_error"](values) for values in losses])
    truth = (0.25 / m + 1 / (m * r)) ** 0.5
    # a standard deviation of m normal numbers is a little small on average, by c₄
    c4 = (2 / (m - 1)) ** 0.5 * math.exp(math.lgamma(m / 2) - math.lgamma((m - 1) / 2))
    chance = ((1 / c4**2 - 1) / sets) ** 0.5
    assert abs(float(errors.mean()) / (c4 * truth) - 1) < 5 * chance
    assert float(losses.std()) / (m * r) ** 0.5 < 0.6 * truth  # draws as independent


def test_no_picture_is_in_two_groups_of_draws() -> None:
    m, n = 7, 210
    names: dict[str, Any] = {"m": m, "n": n, "torch": torch, "device": "cpu"}
    exec(defined("draw_pictures"), names)
    for count, used in ((7, 7), (24, 21)):
        pictures = torch.arange(count)
        x, c = names["draw_pictures"](pictures, pictures)
        assert torch.equal(x, c)
        assert len(x) == n
        assert (torch.bincount(x) == n // used).all()
        groups = x.view(-1, m)  # a column each
        assert all(len(groups[:, k].unique()) == used // m for k in range(m))


# --- one name decides the data --------------------------------------------------------


def sources() -> list[str]:
    code = [cell.source for cell in read().cells if cell.cell_type == "code"]
    return [source for source in code if "google.colab" not in source]


def test_the_name_of_the_data_is_set_in_one_cell_only() -> None:
    assigned = [
        node.id
        for source in sources()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    assert assigned.count("DATA") == 1
    named = [source for source in sources() if "mnist" in source]
    assert len(named) == 2, "the name, and the table of settings"
    assert not any("digits" in ast.unparse(ast.parse(text)) for text in later())


def later() -> list[str]:
    """Return the cells after the table, without titles, which may speak of digits."""
    table = next(k for k, text in enumerate(sources()) if '"n_train"' in text)
    return [
        re.sub(r'title="[^"]*"', 'title=""', text) for text in sources()[table + 1 :]
    ]


def has_mnist() -> bool:
    try:
        data.load("mnist", "test", download=False)
    except RuntimeError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not has_mnist(), reason="MINDDPM_DATA has no MNIST")
@pytest.mark.filterwarnings("default")  # Jupyter's client's are not ours to mend
def test_the_same_cells_run_on_mnist() -> None:
    """With a small budget: whether they run, not what comes out."""
    nb = read()
    small = {
        "n_train": 300,
        "overfit": 21,
        "steps": 30,
        "n_draws": 100,
        "n_sample": 20,
    }
    for cell in nb.cells:
        cell.source = cell.source.replace('DATA = "digits"', 'DATA = "mnist"')
        if '"n_train"' in cell.source and cell.source.startswith("import time"):
            for name, value in small.items():
                rule, instead = rf'"{name}": \(.*?\)', f'"{name}": (0, {value})'
                cell.source, changed = re.subn(rule, instead, cell.source)
                assert changed == 1
    build = tool("build")
    build.run(nb, PATH.parent)
    assert not list(build.faults(nb))
    printed = "".join(o.get("text", "") for c in nb.cells for o in c.get("outputs", []))
    assert "300 pictures to train on, 2000 kept, torch.Size([1, 28, 28])" in printed
    assert "this notebook" in printed
