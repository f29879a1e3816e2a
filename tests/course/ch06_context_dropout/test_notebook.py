"""The formulas of notebook 06 that no other test covers, and what its text relies on.

The exact answers with and without a label, and their floors, are in test_oracle.py, the
loss in test_equations.py, the table of labels in test_nets.py. Statistical tests state
their standard error and fail at five of them.
"""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.testing import assert_close

from minddpm import DDPM, MLP, GaussianMixture, Schedule, loss_floor
from rooms import seeded

COSINE = Schedule.cosine(T=100)
MEANS = torch.tensor([[-1.2, -0.5], [0.3, 1.1], [1.2, 0.2], [0.1, -1.0]])
WEIGHTS = torch.tensor([0.25, 0.25, 0.3, 0.2])
LABELS = torch.tensor([0, 0, 1, 2])
SHARES = torch.tensor([0.5, 0.3, 0.2])
ORACLE = GaussianMixture(MEANS, 0.35, COSINE, weights=WEIGHTS, labels=LABELS)


def drawn(n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ε, t, c and x_t of n draws."""
    x0, c = ORACLE.sample(n, generator=seeded(1))
    t = torch.randint(1, 101, (n,), generator=seeded(2))
    eps = torch.randn(n, 2, generator=seeded(3))
    return eps, t, c, DDPM(ORACLE, schedule=COSINE).q_sample(x0, t, eps)


class OneHotNet(nn.Module):
    """The network of the notebook; sign is what kept labels are multiplied by."""

    n_classes = 3

    def __init__(self, sign: int = 1) -> None:
        super().__init__()
        self.net, self.sign = MLP(dim=5, n_feat=16), sign

    def forward(self, x_t: Tensor, c: Tensor, t: Tensor, mask: Tensor) -> Tensor:
        told = self.sign * one_hot(c, 3) * (1 - mask)[:, None]
        return self.net(torch.cat([x_t, told], dim=1), None, t, None)[:, :2]


# --- the exact answers ----------------------------------------------------------------


def test_no_label_is_the_mean_over_labels_by_bayes_rule() -> None:
    _, t, _, x_t = drawn(2000)
    every = [torch.full_like(t, k) for k in range(3)]
    eps_c = torch.stack([ORACLE.eps(x_t, t, k) for k in every])
    log_q = torch.stack([ORACLE.log_prob(x_t, t, k) for k in every])
    r = (log_q + SHARES.log()[:, None]).softmax(0)
    exact = ORACLE.eps(x_t, t)
    assert_close((r[..., None] * eps_c).sum(0), exact, atol=1e-4, rtol=0)
    # and it can fail: without p(c), or with p(c) alone
    for other in (log_q.softmax(0), SHARES[:, None].expand(3, 2000)):
        assert ((other[..., None] * eps_c).sum(0) - exact).abs().max() > 0.05


def test_the_weights_are_the_classes_frequencies_given_the_place() -> None:
    """Among draws by r, class k is as frequent as r says: the error is √(r(1−r)/n)."""
    _, t, c, x_t = drawn(40_000)
    every = [torch.full_like(t, k) for k in range(3)]
    log_q = torch.stack([ORACLE.log_prob(x_t, t, k) for k in every])
    r = (log_q + SHARES.log()[:, None]).softmax(0).double()
    for k in range(3):
        for low in (0.05, 0.35, 0.65):
            near = (r[k] > low) & (r[k] < low + 0.3)
            p, hit = r[k, near], (c[near] == k).double()
            error = float((p * (1 - p)).sum().sqrt())
            assert abs(float((hit - p).sum())) < 5 * error


def test_the_gap_of_the_floors_is_the_distance_of_the_fields() -> None:
    """The error is that of the paired difference."""
    eps, t, c, x_t = drawn(50_000)
    exact_c, exact_u = ORACLE.eps(x_t, t, c), ORACLE.eps(x_t, t)
    gap = (eps - exact_u).square().mean(1) - (eps - exact_c).square().mean(1)
    worth = (exact_c - exact_u).square().mean(1)
    d = gap - worth
    assert abs(float(d.mean())) < 5 * float(d.std()) / len(d) ** 0.5
    assert float(gap.mean()) > 20 * float(gap.std()) / len(d) ** 0.5


def test_the_label_is_worth_most_in_between() -> None:
    x0, c = ORACLE.sample(4000, generator=seeded(1))
    eps = torch.randn(4000, 2, generator=seeded(3))
    q = DDPM(ORACLE, schedule=COSINE)

    def worth(t: int) -> float:
        x_t = q.q_sample(x0, t, eps)
        return float((ORACLE.eps(x_t, t, c) - ORACLE.eps(x_t, t)).square().mean())

    assert worth(36) > 1.5 * max(worth(11), worth(72))
    assert max(worth(1), worth(100)) < 0.01 * worth(36)


def test_the_floor_with_dropout_is_the_mean_of_the_two() -> None:
    floors = [
        loss_floor(ORACLE, range(5, 100, 10), 4000, drop_prob=p, generator=seeded())
        for p in (0.0, 0.3, 1.0)
    ]
    told, some, none = (f.mean for f in floors)
    # the same x_0 and ε in all three, so that the error is less than that of one
    error = floors[1].mean_standard_error
    assert abs(some - (0.7 * told + 0.3 * none)) < 5 * error
    assert none - told > 20 * error


def test_a_blend_is_as_far_from_each_answer_as_the_text_says() -> None:
    _, t, c, x_t = drawn(2000)
    a, b, p = ORACLE.eps(x_t, t, c), ORACLE.eps(x_t, t), 0.1
    blend, worth = (1 - p) * a + p * b, (a - b).square().mean()
    assert_close((blend - a).square().mean(), p**2 * worth)
    assert_close((blend - b).square().mean(), (1 - p) ** 2 * worth)


# --- one network ----------------------------------------------------------------------


def test_the_loss_by_hand_is_the_packages_with_the_same_draws() -> None:
    torch.manual_seed(0)
    net = OneHotNet()
    ddpm, draws = DDPM(net, schedule=COSINE, drop_prob=0.1), seeded(2)
    x0, c = ORACLE.sample(64, generator=seeded())
    t = torch.randint(1, 101, (64,), generator=draws)
    eps = torch.randn(64, 2, generator=draws)
    mask = torch.bernoulli(torch.full((64,), 0.1), generator=draws)
    assert 0 < mask.sum() < 64
    a = ddpm.alpha_bars[t][:, None]
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    loss = (eps - net(x_t, c, t / 100, mask)).square().mean()
    assert_close(loss, ddpm(x0, c, generator=seeded(2)), rtol=1e-4, atol=0)
    given = ddpm.losses(x0, t, c, eps=eps, context_mask=mask)
    assert_close(loss, given.mean(), rtol=1e-4, atol=0)


def test_the_excess_is_made_of_both_distances() -> None:
    """(1−p) E(ε_θ(x,c) − ε(x,c))² + p E(ε_θ(x,∅) − ε(x,∅))²; paired error."""
    torch.manual_seed(0)
    net, p = MLP(dim=2, n_feat=16, n_classes=3), 0.3
    eps, t, c, x_t = drawn(50_000)
    kept = torch.zeros(len(c))
    mask = torch.bernoulli(torch.full((len(c),), p), generator=seeded(4))
    with torch.no_grad():
        answers = [net(x_t, c, t / 100, m) for m in (mask, kept, kept + 1)]
    exact = [ORACLE.eps(x_t, t, c, m) for m in (mask, kept, kept + 1)]
    of_net = (eps - answers[0]).square().mean(1)
    excess = of_net - (eps - exact[0]).square().mean(1)
    of_c, of_u = (
        (a - b).square().mean(1) for a, b in zip(answers[1:], exact[1:], strict=True)
    )
    d = excess - ((1 - p) * of_c + p * of_u)
    assert abs(float(d.mean())) < 5 * float(d.std()) / len(d) ** 0.5


def test_flipping_the_columns_of_the_label_repairs_flipped_weights() -> None:
    torch.manual_seed(0)
    flipped, correct = OneHotNet(sign=-1), OneHotNet()
    correct.load_state_dict(flipped.state_dict())
    repaired = copy.deepcopy(correct)
    with torch.no_grad():
        repaired.net.enter.weight[:, 2:] *= -1
    _, t, c, x_t = drawn(100)
    none = torch.ones(100)
    for mask in (torch.zeros(100), none):
        said = flipped(x_t, c, t / 100, mask)
        assert_close(said, repaired(x_t, c, t / 100, mask))
    assert_close(flipped(x_t, c, t / 100, none), correct(x_t, c, t / 100, none))
    kept = torch.zeros(100)
    difference = flipped(x_t, c, t / 100, kept) - correct(x_t, c, t / 100, kept)
    assert difference.abs().max() > 0.01


@pytest.mark.parametrize("null_label", ["learned", "zero"])
def test_no_label_is_a_row_of_its_own_and_zero_stays_zero(null_label: str) -> None:
    torch.manual_seed(0)
    net = MLP(dim=2, n_feat=16, n_classes=3, null_label=null_label)
    table = net.condition.label.weight
    assert table.shape == (4, 16)
    assert table.detach().norm(dim=1)[:3].min() > 1
    ddpm = DDPM(net, schedule=COSINE, drop_prob=0.5)
    x0, c = ORACLE.sample(64, generator=seeded())
    ddpm(x0, c, generator=seeded(1)).backward()
    moved = table.grad[3].abs().max() > 0
    assert bool(moved) == (null_label == "learned")
    assert bool((table[3] == 0).all()) == (null_label == "zero")


@pytest.mark.parametrize(("p", "rows"), [(0.0, [3]), (1.0, [0, 1, 2])])
def test_what_is_never_asked_gets_no_gradient(p: float, rows: list[int]) -> None:
    torch.manual_seed(0)
    net = MLP(dim=2, n_feat=16, n_classes=3)
    x0, c = ORACLE.sample(256, generator=seeded())
    DDPM(net, schedule=COSINE, drop_prob=p)(x0, c, generator=seeded(1)).backward()
    still = (net.condition.label.weight.grad == 0).all(1)
    assert still.nonzero().flatten().tolist() == rows


def test_under_label_0_the_slip_hears_a_mixture_of_its_own() -> None:
    """With c·(1−m) for a label: the share of each Gaussian, error √(q(1−q)/n)."""
    n, p = 200_000, 0.1
    k = WEIGHTS.multinomial(n, replacement=True, generator=seeded())
    mask = torch.bernoulli(torch.full((n,), p), generator=seeded(1))
    heard = k[(LABELS[k] * (1 - mask)).long() == 0]
    expected = torch.where(LABELS == 0, WEIGHTS, p * WEIGHTS)
    expected = expected / expected.sum()
    share = heard.bincount(minlength=4) / len(heard)
    error = (expected * (1 - expected) / len(heard)).sqrt()
    assert ((share - expected).abs() < 5 * error).all()


def test_with_label_0_for_none_the_floor_is_a_little_higher() -> None:
    """Higher than that of training with dropout; paired error."""
    eps, t, c, x_t = drawn(50_000)
    mask = torch.bernoulli(torch.full((len(c),), 0.1), generator=seeded(4))
    heard = torch.where(LABELS == 0, WEIGHTS, 0.1 * WEIGHTS)
    under_0 = GaussianMixture(MEANS, 0.35, COSINE, weights=heard).eps(x_t, t)
    label = (c * (1 - mask)).long()
    slip = torch.where((label == 0)[:, None], under_0, ORACLE.eps(x_t, t, c))
    right = ORACLE.eps(x_t, t, c, mask)
    d = (eps - slip).square().mean(1) - (eps - right).square().mean(1)
    assert 5 * float(d.std()) / len(d) ** 0.5 < float(d.mean()) < 0.02
    # with the mask inverted it is higher by far: 1 − 2p times what the label is worth
    worth = (ORACLE.eps(x_t, t, c) - ORACLE.eps(x_t, t)).square().mean()
    assert (1 - 2 * 0.1) * float(worth) > 5 * float(d.mean())


def test_without_a_label_the_field_is_steepest_between_t_10_and_20() -> None:
    """Where data are: the largest change in either direction, at 99 % of the points."""
    x0, _ = ORACLE.sample(3000, generator=seeded(1))
    eps, h = torch.randn(3000, 2, generator=seeded(3)), 1e-2
    q = DDPM(ORACLE, schedule=COSINE)

    def steepness(t: int) -> float:
        x_t = q.q_sample(x0, t, eps)
        ends = [
            ORACLE.eps(x_t + h * e, t) - ORACLE.eps(x_t - h * e, t)
            for e in torch.eye(2)
        ]
        slopes = torch.linalg.matrix_norm(torch.stack(ends, 1) / (2 * h), 2)
        return float(slopes.quantile(0.99))

    inside = min(steepness(t) for t in (11, 15, 20))
    assert inside > 1.2 * max(steepness(t) for t in (1, 3, 6, 8, 36, 60, 100))


def test_one_draw_a_batch_widens_the_loss_by_p_1_minus_p_gap_squared() -> None:
    """A variance of n batches has the relative error of about √(2/n)."""
    eps, t, c, x_t = drawn(20_000)
    of_c = (eps - ORACLE.eps(x_t, t, c)).square().mean(1)
    of_u = (eps - ORACLE.eps(x_t, t)).square().mean(1)
    p, n = 0.1, 4000
    rows = torch.randint(20_000, (n, 256), generator=seeded(5))
    own = torch.rand(n, 256, generator=seeded(6)) < p
    each = torch.where(own, of_u[rows], of_c[rows]).mean(1)
    shared = torch.where(own[:, :1], of_u[rows], of_c[rows]).mean(1)
    error = ((each.var() + shared.var()) / n).sqrt()
    assert abs(float(each.mean() - shared.mean())) < 5 * float(error)
    extra = p * (1 - p) * float(of_u.mean() - of_c.mean()) ** 2
    # kurtosis of a two-level variable at p = 0.1 is 1/(p(1−p)) − 3, about 8
    relative = 5 * (8 / n) ** 0.5
    assert float(shared.var()) == pytest.approx(float(each.var()) + extra, rel=relative)
    assert float(shared.var()) > (1 + relative) * float(each.var())
