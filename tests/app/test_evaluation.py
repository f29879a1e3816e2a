"""A classifier of pictures, and what it says of samples beside real ones."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from minddpm import data
from minddpm.app import evaluation, files, pictures
from minddpm.app.classifier import Classifier, fit_classifier

Pictures = tuple[torch.Tensor, torch.Tensor]


def draws(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def digits() -> tuple[Pictures, Pictures]:
    return data.load("digits"), data.load("digits", "test")


@pytest.fixture(scope="module")
def fitted(digits) -> Classifier:
    return fit_classifier(digits[0], epochs=45, progress=False)


# --- the classifier -------------------------------------------------------------------


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


def test_a_classifier_learns_digits(digits, fitted) -> None:
    test = digits[1]
    with torch.no_grad():
        right = (fitted(test[0]).argmax(1) == test[1]).double().mean()
        features = fitted.features(test[0])
    assert right > 0.9
    assert features.shape == (len(test[0]), 64)
    assert (features >= 0).all()


def test_a_classifier_knows_colours_and_few_pictures() -> None:
    x = draws(20, 3, 16, 16)
    net = fit_classifier((x, torch.arange(20) % 4), epochs=1, progress=False)
    assert net(x).shape == (20, 4)


@pytest.mark.parametrize(("n", "steps"), [(1000, 300 * 3), (60_000, 5 * 234), (9, 300)])
def test_it_sees_300_000_pictures_if_nothing_is_said(monkeypatch, n, steps) -> None:
    class Asked(Exception):
        pass

    def bar(*, total: int, **options):
        raise Asked(total)

    monkeypatch.setattr("tqdm.auto.tqdm", bar)
    real = torch.zeros(1, 1, 1, 1).expand(n, 1, 8, 8), torch.arange(n) % 2
    with pytest.raises(Asked, match=rf"^{steps}$"):
        fit_classifier(real)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "in_channels must be at least 1, got 0"),
        ((1, 1), "n_classes must be at least 2, got 1"),
    ],
)
def test_a_classifier_of_nothing_is_refused(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier(*arguments)


def test_the_classifier_that_comes_with_minddpm_is_taken(monkeypatch) -> None:
    def never(*args, **options):
        raise AssertionError("there is one")

    real = torch.zeros(10, 1, 28, 28), torch.arange(10)
    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "fit_classifier", never)
        net = evaluation._classifier("mnist", real, torch.device("cpu"))
    assert not net.training
    path = files.SHIPPED / "classifiers" / "mnist.safetensors"
    for name, tensor in files.read(path)[0].items():
        assert torch.equal(tensor, net.state_dict()[name]), name
    assert net(real[0]).shape == (10, 10)


# --- evaluate -------------------------------------------------------------------------

Measure = Callable[[torch.Tensor, torch.Tensor | None], evaluation.Evaluation]


@pytest.fixture
def measured(tmp_path, monkeypatch, fitted) -> Measure:
    """Evaluate pictures by way of a file."""
    monkeypatch.setattr(evaluation, "fit_classifier", lambda *args, **options: fitted)

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
    noise = measured(draws(*test[0].shape), test[1])
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


def test_the_floor_is_of_as_many_real_pictures_as_there_are_samples(
    measured, digits
) -> None:
    """The mean of ten draws: a Fréchet distance falls with the number of pictures."""
    x = digits[1][0]
    few, many = measured(x[:20], None), measured(x, None)
    assert few.real_frechet > 1.5 * many.real_frechet
    assert few.real_accuracy == many.real_accuracy


def test_samples_of_some_classes_are_compared_with_those(measured, digits) -> None:
    """Against pictures of all classes, real ones of one have a ratio above 20."""
    x, c = digits[1]
    one = measured(x[c == 3], c[c == 3])
    assert (one.n, one.classes) == (int((c == 3).sum()), (3,))
    assert one.frechet == pytest.approx(one.real_frechet, rel=0.02)
    assert one.nearest == pytest.approx(one.real_nearest, rel=0.02)
    assert "all pictures, real ones too, are of label 3" in str(one)
    unlabelled = measured(x[c == 3], None)
    assert unlabelled.classes is None
    assert unlabelled.frechet > 10 * unlabelled.real_frechet
    two = measured(x[(c == 3) | (c == 5)], c[(c == 3) | (c == 5)])
    assert two.classes == (3, 5)
    assert measured(x, c).classes is None


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(5, 1, 28, 28), r"the pictures must have shape .*1, 8, 8.*28, 28"),
        (torch.zeros(5, 3, 8, 8), r"the pictures must have shape .*1, 8, 8.*3, 8, 8"),
        (torch.zeros(1, 1, 8, 8), "the number of pictures must be at least 2, got 1"),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(measured, x, message) -> None:
    with pytest.raises(ValueError, match=message):
        measured(x, None)


def test_an_unknown_data_set_is_refused(tmp_path) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"must be one of .*'cats'"):
        evaluation.evaluate(tmp_path / "x.npz", "cats")
