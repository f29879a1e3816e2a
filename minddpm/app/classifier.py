"""A small network that reads pictures; its features judge samples."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minddpm import _validate

Labelled = tuple[Tensor, Tensor]


class Classifier(nn.Module):
    """A small convolutional network that reads pictures; its features judge samples.

    Args:
        in_channels: channels of the pictures.
        n_classes: number of classes.

    Raises:
        TypeError: if a number is no int.
        ValueError: if a number is out of range.

    >>> net = Classifier(in_channels=1, n_classes=10)
    >>> x = torch.zeros(5, 1, 28, 28)
    >>> net(x).shape, net.features(x).shape
    (torch.Size([5, 10]), torch.Size([5, 64]))
    """

    def __init__(self, in_channels: int = 1, n_classes: int = 10) -> None:
        super().__init__()
        _validate.integer("in_channels", in_channels, 1)
        _validate.integer("n_classes", n_classes, 2)
        layers: list[nn.Module] = []
        for n_in, n_out in ((in_channels, 16), (16, 32), (32, 64)):
            layers += [
                nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.hidden = nn.Linear(64 * 16, 64)
        self.head = nn.Linear(64, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return what the last hidden layer makes of pictures.

        Args:
            x: pictures, (N, in_channels, H, W) float in [−1, 1].

        Returns:
            Features, (N, 64).
        """
        return self.hidden(self.body(x)).relu()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes.

        Args:
            x: pictures, (N, in_channels, H, W) float in [−1, 1].

        Returns:
            Logits, (N, n_classes).
        """
        return self.head(self.features(x))


def fit_classifier(
    real: Labelled,
    *,
    epochs: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Classifier:
    """Train a `Classifier` on real pictures.

    Adam with a learning rate that rises to 0.004 and falls to 0, batches of 256, each
    moved by up to a pixel as a whole.

    Args:
        real: pictures, (N, C, H, W) float in [−1, 1], and their labels, (N,) int64.
        epochs: how often it sees each picture; None is 300,000 looks in all, at least,
            but 300 at each are enough.
        seed: seed of its first weights and of the order of the pictures.
        progress: show a progress bar.

    Returns:
        The classifier, in evaluation mode, on the device of the pictures.
    """
    from tqdm.auto import tqdm

    x, c = real
    epochs = min(300, -(-300_000 // len(x))) if epochs is None else epochs
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Classifier(x.shape[1], int(c.max()) + 1).to(x.device)
    net.to(memory_format=torch.channels_last)
    batches = max(1, len(x) // 256)
    optimiser = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=4e-3, total_steps=epochs * batches
    )
    bar = tqdm(total=epochs * batches, disable=not progress, desc="classifier")
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator).to(x.device)
        for index in order[: batches * 256].chunk(batches):
            down, right = torch.randint(-1, 2, (2,), generator=generator).tolist()
            moved = x[index].roll((down, right), dims=(2, 3))
            loss = F.cross_entropy(net(moved), c[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            bar.update()
    bar.close()
    return net.eval()
