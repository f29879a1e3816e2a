"""The optimiser that turns kernels by as much in every direction."""

import json
import operator

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from minddpm import DDPM, MLP, History, TrainConfig, UNet
from minddpm.app.muon import OPTIMISERS, Muon, describe, is_matrix, orthogonal, rebuild


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(parameters: list[torch.Tensor], generator: torch.Generator) -> None:
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=generator)


@pytest.mark.parametrize("shape", [(16, 16), (16, 300), (300, 16), (64, 576)])
def test_singular_values_come_out_near_one(shape: tuple[int, int]) -> None:
    matrix = 1e-3 * torch.randn(shape, generator=seeded(0))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    # others of its size and of another one beside it
    _, result, _ = orthogonal([2 * matrix.flip(0), matrix, matrix[:9]])
    inside = torch.einsum("ri,rc,ic->i", u, result, v)
    # the iteration's polynomial, five times, on the values over their norm
    exact = (values / values.square().sum().sqrt()).double()
    for _ in range(5):
        exact = 3.4445 * exact - 4.7750 * exact**3 + 2.0315 * exact**5
    assert_close(inside.double(), exact, rtol=2e-3, atol=2e-3)
    large = values > 0.05 * values.square().sum().sqrt()
    assert large.any()
    assert ((inside[large] > 0.68) & (inside[large] < 1.21)).all()
    assert_close(u @ torch.diag(inside) @ v, result, rtol=1e-3, atol=1e-3)


def test_kernels_move_as_far_whatever_their_gradient() -> None:
    kernel = nn.Parameter(torch.zeros(16, 32, 3, 3))
    optimiser = Muon([kernel], lr=0.01)
    for factor in (1e-6, 1e3):
        before = kernel.detach().clone()
        optimiser.state.clear()
        kernel.grad = factor * torch.randn(kernel.shape, generator=seeded(1))
        optimiser.step()
        values = torch.linalg.svdvals((kernel - before).detach().flatten(1))
        assert ((values > 0.05 * 0.68) & (values < 0.05 * 1.21)).all()


def test_all_else_is_left_to_adamw() -> None:
    shapes = [(16, 16, 3, 3), (4, 64, 3, 3), (64, 4, 3, 3), (32, 32), (64,), (20, 16)]
    ours = [nn.Parameter(torch.ones(shape)) for shape in shapes]
    theirs = [nn.Parameter(torch.ones(shape)) for shape in shapes]
    options = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1}
    muon, adamw = Muon(ours, **options), torch.optim.AdamW(theirs, **options)
    for k in range(3):
        gradients(ours, seeded(k))
        gradients(theirs, seeded(k))
        muon.step()
        adamw.step()
    assert [is_matrix(p) for p in ours] == [True] + 5 * [False]
    assert not torch.equal(ours[0], theirs[0])
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("shape", [(16, 48), (48, 16)])
def test_parity_with_pytorchs_own(shape: tuple[int, int]) -> None:
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon of its own; 2.9 and newer do")
    start = torch.randn(shape, generator=seeded(0))
    ours = nn.Parameter(start[:, :, None, None].clone())
    theirs = nn.Parameter(start.clone())
    muon = Muon([ours], lr=0.02)
    other = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.0, momentum=0.95)
    for k in range(4):
        theirs.grad = torch.randn(shape, generator=seeded(10 + k))
        ours.grad = theirs.grad[:, :, None, None].clone()
        muon.step()
        other.step()
    moved, expected = ours.detach()[:, :, 0, 0] - start, theirs.detach() - start
    # theirs multiplies in bfloat16
    assert float((moved - expected).norm() / expected.norm()) < 0.05


def test_its_state_can_be_kept() -> None:
    def fresh() -> tuple[list[nn.Parameter], Muon]:
        ps = [nn.Parameter(torch.ones(16, 16, 3, 3)), nn.Parameter(torch.ones(5))]
        return ps, Muon(ps, lr=0.01, fused=True)

    whole, optimiser = fresh()
    for k in range(4):
        gradients(whole, seeded(k))
        optimiser.step()
        if k == 1:
            kept = [p.detach().clone() for p in whole]
            state = torch.utils._pytree.tree_map(
                lambda v: v.clone() if isinstance(v, torch.Tensor) else v,
                optimiser.state_dict(),
            )
    again, optimiser = fresh()
    optimiser.load_state_dict(state)
    with torch.no_grad():
        for p, value in zip(again, kept, strict=True):
            p.copy_(value)
    for k in (2, 3):
        gradients(again, seeded(k))
        optimiser.step()
    assert all(map(torch.equal, whole, again))


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_what_describes_an_optimiser_makes_it_again(kind: str) -> None:
    net = UNet(1, 4)
    options = {"betas": (0.7, 0.8), "eps": 1e-5, "weight_decay": 0.3, "fused": False}
    options |= {"momentum": 0.8} if kind == "Muon" else {}
    optimiser = OPTIMISERS[kind](net.parameters(), lr=0.02, **options)
    told = describe(net, optimiser)
    assert told == {"kind": kind, "lr": 0.02, **options}
    again = rebuild(net, **json.loads(json.dumps(told)))
    assert type(again) is OPTIMISERS[kind]
    (before,), (after,) = optimiser.param_groups, again.param_groups
    assert all(map(operator.is_, before.pop("params"), after.pop("params")))
    assert before == after
    plain = rebuild(net, kind, 0.1).param_groups[0]
    assert (plain["betas"], plain["weight_decay"], plain["fused"]) == (
        *((0.9, 0.99), 0.0, True),
    )


def test_momentum_is_how_much_of_the_past_counts() -> None:
    moved = []
    for momentum in (0.0, 0.95):
        kernel = nn.Parameter(torch.zeros(16, 16, 1, 1))
        optimiser = Muon([kernel], lr=0.01, momentum=momentum)
        for seed in (0, 1):
            gradients([kernel], seeded(seed))
            optimiser.step()
        moved.append(kernel.detach().clone())
        if not momentum:  # nothing of the first step is left in the second
            first, second = (
                orthogonal([torch.randn(16, 16, generator=seeded(k))])[0]
                for k in (0, 1)
            )
            assert_close(moved[0].flatten(1), -0.05 * (first + second))
    assert not torch.allclose(*moved)


def test_a_closure_is_refused() -> None:
    with pytest.raises(ValueError, match="closure must be None"):
        Muon([nn.Parameter(torch.ones(3))]).step(lambda: 0.0)


def test_the_settings_name_it() -> None:
    """In one line: what `TrainConfig(optimiser="muon")` makes."""
    ddpm = DDPM(MLP(2, 8), n_T=5)
    for name, kind in (("adamw", torch.optim.AdamW), ("muon", Muon)):
        own = History(ddpm, TrainConfig(optimiser=name)).optimiser
        assert type(own) is kind
        assert own.param_groups[0]["weight_decay"] == 0
    with pytest.raises(ValueError, match="optimiser must be one of adamw, muon; got"):
        TrainConfig(optimiser="sgd")
