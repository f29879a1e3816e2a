"""What `minddpm evaluate` says of pictures, and the classifier behind it."""

import pytest
import torch

from core.shared import randn
from minddpm import data
from minddpm.app import evaluation, pictures
from minddpm.app.classifier import Classifier, fit_classifier
from minddpm.metrics import Labelled


@pytest.fixture(scope="module")
def digits() -> tuple[Labelled, Labelled]:
    return data.load("digits"), data.load("digits", "test")


def test_a_classifier_is_made_by_its_seed_alone(digits) -> None:
    real = digits[0][0][:600], digits[0][1][:600]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = fit_classifier(real, epochs=2, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same = fit_classifier(real, epochs=2, progress=False).state_dict()
    other = fit_classifier(real, epochs=2, seed=1, progress=False).state_dict()
    assert not one.training
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, same[name]), name
    assert not torch.equal(one.head.weight, other["head.weight"])


def test_a_classifier_learns_digits(digits) -> None:
    net = fit_classifier(digits[0], epochs=45, progress=False)
    with torch.no_grad():
        right = (net(digits[1][0]).argmax(1) == digits[1][1]).double().mean()
        features = net.features(digits[1][0])
    assert right > 0.9
    assert features.shape == (len(digits[1][0]), 64)
    assert (features >= 0).all()


def test_a_classifier_knows_colours_and_few_pictures() -> None:
    x = randn(20, 3, 16, 16).float()
    net = fit_classifier((x, torch.arange(20) % 4), epochs=1, progress=False)
    assert net(x).shape == (20, 4)


# --- evaluate -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def net(digits) -> Classifier:
    """A classifier that knows digits well enough."""
    return fit_classifier(digits[0], epochs=12, progress=False)


@pytest.fixture
def measured(tmp_path, monkeypatch, net, capsys):
    """Evaluate pictures by way of a file."""
    monkeypatch.setenv("MINDDPM_DEVICE", "cpu")
    monkeypatch.setattr(evaluation, "fit_classifier", lambda *args, **kwargs: net)

    def measure(x: torch.Tensor, c: torch.Tensor | None) -> evaluation.Evaluation:
        (tmp_path / "x.npz").write_bytes(pictures.npz(x, c))
        return evaluation.evaluate(tmp_path / "x.npz", "digits")

    return measure


def test_real_pictures_copies_and_noise_are_told_apart(measured, digits) -> None:
    train, test = digits
    n = len(test[0])
    real = measured(*test)
    assert real.n == n
    assert real.accuracy == pytest.approx(real.real_accuracy, abs=1e-9)
    # the same pictures, but for their rounding to 256 shades
    assert real.frechet == pytest.approx(real.real_frechet, rel=0.02)
    assert real.nearest == pytest.approx(real.real_nearest, rel=0.01)
    copies = measured(train[0][:n], train[1][:n])
    assert copies.nearest < 0.5 / 127.5
    assert copies.nearest < 0.05 * copies.real_nearest
    assert copies.real_nearest == real.real_nearest
    noise = measured(randn(*test[0].shape).float(), test[1])
    assert noise.frechet > 10 * noise.real_frechet
    assert noise.nearest > noise.real_nearest
    assert noise.accuracy < 0.4
    wrong = measured(test[0], (test[1] + 1) % 10)
    assert wrong.accuracy < 0.1


def test_few_and_many_and_without_labels(measured, digits) -> None:
    few = measured(digits[1][0][:40], None)
    assert (few.n, few.accuracy) == (40, None)
    assert "no labels" in str(few)
    many = measured(*digits[0])
    assert many.n == len(digits[1][0])
    lines = str(many).splitlines()
    assert f"n = {many.n}" in lines[0]
    assert f"{many.accuracy:.4f}" in lines[1]
    assert f"ratio {many.frechet / many.real_frechet:.2f}" in lines[2]
    assert f"{many.real_nearest:.4f}" in lines[3]


def test_pictures_of_another_size_are_refused(measured) -> None:
    with pytest.raises(ValueError, match=r"pictures must have shape .*1, 8, 8.*28, 28"):
        measured(torch.zeros(5, 1, 28, 28), None)


def test_bad_classifiers_are_refused() -> None:
    with pytest.raises(ValueError, match="in_channels must be at least 1, got 0"):
        Classifier(0)
    with pytest.raises(ValueError, match="n_classes must be at least 2, got 1"):
        Classifier(1, 1)
