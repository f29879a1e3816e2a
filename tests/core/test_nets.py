"""The networks follow the protocol, at every size, and treat "no label" as its own."""

import pytest
import torch
from torch.testing import assert_close

from minddpm import DDPM, MLP, UNet


def randomised(net: torch.nn.Module) -> torch.nn.Module:
    """Replace zero initial weights, so that every path shows in the output."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            if not p.any():
                p.copy_(0.1 * torch.randn(p.shape, generator=generator))
    return net.eval()


@pytest.mark.parametrize(
    "size", [(4, 4), (8, 8), (13, 7), (28, 28), (33, 32), (64, 64)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_unet_keeps_the_shape(size: tuple[int, int], channels: int) -> None:
    x = torch.randn(2, channels, *size)
    out = UNet(channels, 16, 10)(x, torch.tensor([0, 9]), torch.rand(2), torch.zeros(2))
    assert out.shape == x.shape


@pytest.mark.parametrize(
    "options",
    [
        {"patch": 1},
        {"patch": 4},
        {"widths": (1,)},
        {"widths": (1, 2, 3)},
        {"middle": 3},
    ],
)
def test_unet_of_other_layouts(options: dict) -> None:
    x = torch.randn(2, 1, 28, 28)
    net = randomised(UNet(1, 16, 10, **options))
    out = net(x, torch.tensor([0, 9]), torch.rand(2), torch.zeros(2))
    assert out.shape == x.shape
    assert out.std() > 0


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_mlp_keeps_the_shape(dim: int) -> None:
    net = MLP(dim=dim, n_feat=16, n_classes=3)
    out = net(torch.randn(7, dim), torch.arange(7) % 3, torch.rand(7), torch.zeros(7))
    assert out.shape == (7, dim)


NETS = {
    "mlp": (lambda **kw: randomised(MLP(2, 16, 3, **kw)), (2,)),
    "unet": (lambda **kw: randomised(UNet(1, 16, 3, **kw)), (1, 8, 8)),
}
every_net = pytest.mark.parametrize("name", NETS)


def inputs(shape: tuple[int, ...], n: int = 6):
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(n) % 3, torch.full((n,), 0.3), torch.zeros(n)


@every_net
def test_time_may_have_any_broadcastable_shape(name: str) -> None:
    make, shape = NETS[name]
    net, (x, c, t, mask) = make(), inputs(shape)
    expected = net(x, c, t, mask)
    for other in (t[:1], t[0], t[:, None], t.view(-1, 1, 1, 1)):
        assert_close(net(x, c, other, mask), expected)


@every_net
def test_time_and_label_change_the_answer(name: str) -> None:
    make, shape = NETS[name]
    net, (x, c, t, mask) = make(), inputs(shape)
    out = net(x, c, t, mask)
    assert not torch.allclose(out, net(x, c, t + 0.1, mask), atol=1e-4)
    assert not torch.allclose(out, net(x, (c + 1) % 3, t, mask), atol=1e-4)


@every_net
@pytest.mark.parametrize("null_label", ["learned", "zero"])
def test_a_dropped_label_is_no_label_at_all(name: str, null_label: str) -> None:
    make, shape = NETS[name]
    net, (x, c, t, _) = make(null_label=null_label), inputs(shape)
    mask = torch.tensor([1.0, 0.0] * 3)
    out, others = net(x, c, t, mask), net(x, (c + 1) % 3, t, mask)
    assert_close(out[::2], others[::2])  # dropped: the label does not matter
    assert not torch.allclose(out[1::2], others[1::2], atol=1e-4)
    for label in range(3):  # and it is none of the classes
        kept = net(x, torch.full_like(c, label), t, torch.zeros(6))
        assert not torch.allclose(out[::2], kept[::2], atol=1e-4)


def test_a_zero_null_label_stays_zero_in_training() -> None:
    torch.manual_seed(0)
    for null_label, stays in (("zero", True), ("learned", False)):
        net = MLP(2, 16, 3, null_label=null_label)
        ddpm = DDPM(net, drop_prob=0.5)
        before = net.condition.label.weight[3].clone()
        ddpm(torch.randn(64, 2), torch.arange(64) % 3).backward()
        torch.optim.SGD(net.parameters(), lr=0.1).step()
        assert torch.equal(before, net.condition.label.weight[3]) == stays
        assert bool(before.any()) != stays


@every_net
def test_samples_do_not_mix(name: str) -> None:
    """What one sample gets does not depend on its neighbours in the batch."""
    make, shape = NETS[name]
    net, (x, c, t, mask) = make(), inputs(shape)
    alone = torch.cat(
        [net(x[i : i + 1], c[i : i + 1], t[:1], mask[:1]) for i in range(6)]
    )
    assert_close(net(x, c, t, mask), alone, rtol=1e-4, atol=1e-5)


@every_net
def test_every_parameter_is_used(name: str) -> None:
    make, shape = NETS[name]
    net, (x, c, t, _) = make(), inputs(shape)
    net(x, c, t, torch.tensor([1.0, 0, 0, 0, 0, 0])).square().sum().backward()
    unused = [
        n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()
    ]
    assert unused == []


def test_unlabelled_networks_ignore_labels_and_mask() -> None:
    net, (x, c, t, mask) = randomised(MLP(2, 16)), inputs((2,))
    assert net.n_classes == 0
    assert_close(net(x, c, t, mask), net(x, c + 5, t, 1 - mask))


@pytest.mark.parametrize("name", NETS)
def test_the_lecture_notes_loop_runs_unchanged(name: str) -> None:
    from torch.utils.data import DataLoader, TensorDataset

    make, shape = NETS[name]
    x, c = torch.rand(40, *shape), torch.arange(40) % 3
    device = "cpu"
    ddpm = DDPM(
        nn_model=make(), betas=(1e-4, 0.02), n_T=400, device=device, drop_prob=0.1
    )
    ddpm.to(device)
    optim = torch.optim.Adam(ddpm.parameters(), lr=1e-4)
    before = [p.clone() for p in ddpm.parameters()]
    ddpm.train()
    for x_batch, c_batch in DataLoader(TensorDataset(x, c), batch_size=16):
        optim.zero_grad()
        loss = ddpm(x_batch.to(device), c_batch.to(device))
        loss.backward()
        optim.step()
    assert loss.shape == ()
    moved = [
        not torch.equal(a, b) for a, b in zip(before, ddpm.parameters(), strict=True)
    ]
    assert all(moved)
    ddpm.eval()
    with torch.no_grad():
        x_gen = ddpm.sample(6, shape, device, guide_w=0.5)
    assert x_gen.shape == (6, *shape)
    assert x_gen.isfinite().all()
