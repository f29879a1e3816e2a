"""Networks leave PyTorch's eager mode: exported, traced, compiled and vectorised."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.testing import assert_close

from core.shared import randn, seeded
from minddpm import DDPM, MLP, UNet, ancestral, ddim, sample

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP": (lambda: MLP(2, 8, 3), (2,)),
    "UNet": (lambda: UNet(1, 8, 3), (1, 9, 7)),
    "UNet in colour": (lambda: UNet(3, 8, 3), (3, 8, 8)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)
NAMES = ["x_t", "c", "t", "context_mask"]


def network(name: str) -> nn.Module:
    """Make one with weights that show in its answer."""
    net = NETWORKS[name][0]().eval()
    for k, p in enumerate(net.parameters()):
        nn.init.normal_(p, 0, 0.1, generator=seeded(k))
    return net


def inputs(name: str, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = randn(n, *NETWORKS[name][1], dtype=torch.float32)
    k = torch.arange(n)
    return x, k % 3, (k + 1) / n, (k % 2).float()


@every_network
def test_export_with_any_batch_size(name: str) -> None:
    net, batch = network(name), [{0: torch.export.Dim("batch", max=4096)}] * 4
    program = torch.export.export(net, inputs(name, 3), dynamic_shapes=batch)
    for n in (2, 5):
        assert_close(program.module()(*inputs(name, n)), net(*inputs(name, n)))


@every_network
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
def test_a_trace_takes_any_batch_size(name: str) -> None:
    net = network(name)
    traced = torch.jit.trace(net, inputs(name, 3))
    for n in (1, 5):
        assert_close(traced(*inputs(name, n)), net(*inputs(name, n)))


@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize("name", ["MLP", "UNet in colour"])
def test_onnx_answers_as_pytorch_does(tmp_path: Path, name: str, dynamo: bool) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net, path = network(name), str(tmp_path / "net.onnx")
    batch = (
        {"dynamic_shapes": [{0: torch.export.Dim("batch", max=4096)}] * 4}
        if dynamo
        else {"dynamic_axes": {name: {0: "batch"} for name in NAMES}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the legacy one is one, and the like
        torch.onnx.export(
            net, inputs(name, 3), path, dynamo=dynamo, input_names=NAMES, **batch
        )
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (2, 5):
        given = zip(NAMES, inputs(name, n), strict=True)
        answer = session.run(None, {key: value.numpy() for key, value in given})[0]
        expected = net(*inputs(name, n)).detach()
        assert_close(torch.from_numpy(answer), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_folding_is_that_of_pytorch(patch: int) -> None:
    """It is written out for exporters, which had channels mixed up."""
    net, seen = UNet(3, 8, patch=patch, widths=(1,)), []
    net.enter.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    x = randn(2, 3, 6, 12, dtype=torch.float32)
    net(x, torch.zeros(2).long(), torch.ones(2), torch.zeros(2))
    assert torch.equal(seen[0], nn.functional.pixel_unshuffle(x, patch))


@every_network
def test_gradients_of_each_sample_at_once(name: str) -> None:
    net, (x, c, t, mask) = network(name), inputs(name, 3)
    weights = dict(net.named_parameters())

    def of_one(weights: dict[str, Tensor], *one: Tensor) -> Tensor:
        answer = functional_call(net, weights, tuple(x[None] for x in one))
        return answer.square().mean()

    got = vmap(grad(of_one), in_dims=(None, 0, 0, 0, 0))(weights, x, c, t, mask)
    for k in range(3):
        one = grad(of_one)(weights, x[k], c[k], t[k], mask[k])
        for key, value in one.items():
            assert_close(got[key][k], value, rtol=1e-4, atol=1e-6)


@every_network
def test_gradients_of_each_sample_of_the_loss_at_once(name: str) -> None:
    ddpm, (x, c, _, mask) = DDPM(network(name), n_T=9, prediction="v"), inputs(name, 3)
    t, eps = torch.tensor([1, 5, 9]), x.flip(0)

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ddpm = ddpm

        def forward(self, x0, t, c, eps, mask) -> Tensor:
            return self.ddpm.losses(x0, t, c, eps=eps, context_mask=mask).mean()

    weights = dict(Loss().named_parameters())

    def of_one(weights: dict[str, Tensor], *one: Tensor) -> Tensor:
        return functional_call(Loss(), weights, tuple(x[None] for x in one))

    axes = (None, 0, 0, 0, 0, 0)
    each = vmap(grad(of_one), in_dims=axes)(weights, x, t, c, eps, mask)
    all_of_them = grad(lambda w: functional_call(Loss(), w, (x, t, c, eps, mask)))
    for key, value in all_of_them(weights).items():
        assert_close(each[key].mean(0), value, rtol=1e-4, atol=1e-6)
    # and with draws of its own for each sample
    own = vmap(
        grad(lambda w, x, c: functional_call(ddpm, w, (x[None], c[None]))),
        in_dims=(None, 0, 0), randomness="different",
    )(dict(ddpm.named_parameters()), x, c)  # fmt: skip
    assert all(value.isfinite().all() for value in own.values())


@pytest.fixture
def fresh() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["MLP", "UNet"])
@pytest.mark.usefixtures("fresh")
def test_a_network_compiles_in_one_piece(name: str) -> None:
    """A backend that runs what was traced is enough."""
    net = network(name)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    for n in (3, 5) if name == "MLP" else (3,):
        assert_close(compiled(*inputs(name, n)), net(*inputs(name, n)))


@pytest.mark.usefixtures("fresh")
def test_a_model_compiles_in_one_piece_for_any_batch_size() -> None:
    ddpm = DDPM(network("MLP"), n_T=9)
    ddpm.compile(backend="eager", fullgraph=True)
    for n in (3, 5, 7):
        assert ddpm(*inputs("MLP", n)[:2]).isfinite()


@pytest.mark.usefixtures("fresh")
def test_compiled_models_sample_as_others_do() -> None:
    net, x = network("MLP"), inputs("MLP", 3)[0]
    c = torch.arange(3)
    plain = DDPM(net, n_T=9)
    for ddpm in (
        torch.compile(plain, backend="eager"),
        DDPM(torch.compile(net, backend="eager", dynamic=True), n_T=9),
    ):
        assert ddpm.n_classes == 3
        for walk in (ancestral, ddim):
            steps = {"steps": 3} if walk is ddim else {}
            got, expected = (
                sample(walk(one, x, c, generator=seeded(), **steps))
                for one in (ddpm, plain)
            )
            assert_close(got, expected)
