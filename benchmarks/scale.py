"""What larger pictures would take: this package's U-Net, counted rather than trained.

    python benchmarks/scale.py

For each size one picture goes forward through the network. Counted on the way:
parameters; floating-point operations (PyTorch's counter: matrix products and
convolutions, a product and a sum are two), three times as many for a training step;
and the bytes that the forward pass keeps for the backward one, in float32, each tensor
once and without the parameters. Hours on a GPU follow from these by division, at a
speed that is assumed and printed: nothing here was trained.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from minddpm.nets import UNet

SPEED = 50e12  # operations a second that one GPU keeps up, an assumption
STATE = 16  # bytes a parameter: weight, gradient and AdamW's two moments
AVERAGE = 4  # and the average's


@dataclass(frozen=True)
class Plan:
    """A network and how long to train it.

    Attributes:
        channels: of the pictures.
        side: of the pictures, in pixels.
        arguments: of `UNet`, but for the channels.
        steps: of training.
        batch: pictures a step.
    """

    channels: int
    side: int
    arguments: dict[str, object]
    steps: int
    batch: int


PLANS = (
    Plan(1, 28, {"n_feat": 32, "widths": (1, 3), "middle": 2}, 6_000, 32),
    Plan(3, 64, {"n_feat": 128, "widths": (1, 2, 3, 4)}, 500_000, 256),
    Plan(3, 256, {"n_feat": 128, "widths": (1, 1, 2, 2, 4)}, 500_000, 64),
    Plan(4, 32, {"n_feat": 192, "widths": (1, 2, 3, 4), "patch": 1}, 500_000, 256),
)


def count(plan: Plan) -> tuple[int, int, int]:
    """Return parameters, operations of a forward pass, and bytes kept by it."""
    network = UNet(plan.channels, n_classes=10, **plan.arguments)
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    x, c = torch.zeros(1, plan.channels, plan.side, plan.side), torch.zeros(1).long()
    with (
        FlopCounterMode(display=False) as counter,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x),
    ):
        # the result is held, and with it all that was kept: no address comes twice
        out = network(x, c, torch.full((1,), 0.5), torch.zeros(1))
    assert out.shape == x.shape
    return parameters(network), counter.get_total_flops(), sum(kept.values())


def parameters(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in network.parameters())


def main() -> None:
    """Print a table in Markdown."""
    print(
        "| pictures | network | parameters | forward, GFLOP | kept a picture, MB "
        "| steps × batch | memory, GB | GPU hours |\n|---|---|" + "---:|" * 6
    )
    for plan in PLANS:
        n, flops, kept = count(plan)
        options = ", ".join(f"{k}={v}" for k, v in plan.arguments.items())
        memory = (STATE + AVERAGE) * n + plan.batch * kept
        hours = 3 * flops * plan.batch * plan.steps / SPEED / 3600
        shown = f"{hours:,.0f}" if hours >= 1 else "< 1"
        print(
            f"| {plan.channels}×{plan.side}×{plan.side} | {options} | {n / 1e6:.2f} M "
            f"| {flops / 1e9:.2f} | {kept / 1e6:.1f} | {plan.steps:,} × {plan.batch} "
            f"| {memory / 1e9:.2g} | {shown} |",
            flush=True,
        )
    print(f"\nassumed: {SPEED / 1e12:g} TFLOP/s kept up; float32 memory on one GPU")


if __name__ == "__main__":
    main()
