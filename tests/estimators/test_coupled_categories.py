"""The theory of the coupled estimators of categoricals: exact expectations, reductions and orderings.

ALPHA is the chance of a false alarm of one statistical check under fresh seeds; with the fixed seeds there is none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from dvae_bench.estimators.contract import Estimator
from dvae_bench.estimators.coupled.arms import Arms
from dvae_bench.estimators.coupled.ars import Ars
from dvae_bench.estimators.coupled.ars_plus import ArsPlus
from dvae_bench.estimators.coupled.arsm import Arsm
from dvae_bench.estimators.coupled.arsm_plus import ArsmPlus
from dvae_bench.estimators.coupled.binary_codes import (
    Code,
    CodedPair,
    balanced_tree,
    decode,
    node_logits,
    path,
    stick_breaking,
)
from dvae_bench.estimators.coupled.carms import Carms
from dvae_bench.estimators.coupled.couplings import COUPLINGS
from dvae_bench.estimators.coupled.disarm import Disarm
from dvae_bench.estimators.coupled.disarm_iw import DisarmIw
from dvae_bench.estimators.coupled.disarm_sb import DisarmSb
from dvae_bench.estimators.coupled.disarm_tree import DisarmTree
from dvae_bench.estimators.coupled.swaps import ReferenceSwaps, integrated_reference, swapped, table
from dvae_bench.estimators.latents import Bernoulli, Categorical, Objective, expectation
from dvae_bench.estimators.score_function.rloo import Rloo
from scipy.stats import chi2, norm
from torch import Generator, Tensor

ALPHA = 1e-6
SHAPES = [(1, 2), (1, 4), (2, 3), (1, 5), (3, 2)]
CODED: list[tuple[type[Estimator], Callable[[Tensor], Code]]] = [
    (DisarmSb, partial(stick_breaking, descending=True)),
    (DisarmSb, stick_breaking),
    (DisarmTree, balanced_tree),
    (DisarmIw, stick_breaking),
]


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def problem(sites: int, classes: int, scale: float = 1.0) -> tuple[Tensor, Objective]:
    """Logits and a table of normal values of f, in float64."""
    generator = seeded(sites * 10 + classes)
    logits = scale * torch.randn(sites, classes, generator=generator, dtype=torch.float64)
    values = torch.randn([classes] * sites, generator=generator, dtype=torch.float64)
    return logits, lambda z: values[z.argmax(-1).unbind(-1)]


def exact_gradient(f: Objective, logits: Tensor) -> Tensor:
    leaf = logits.clone().requires_grad_()
    return torch.autograd.grad(expectation(f, Categorical(leaf)), leaf)[0]


def rows_of(logits: Tensor, rows: int) -> Categorical:
    return Categorical(logits.expand(rows, *logits.shape))


def two_classes(bit_logits: Tensor) -> Categorical:
    """Bits as sites of two classes: the logit of class 1 is φ, and a bit's gradient is that of class 1."""
    return Categorical(torch.stack([torch.zeros_like(bit_logits), bit_logits], -1))


def every_pair(code: Code, logits: Tensor) -> tuple[Tensor, CodedPair]:
    """Each antithetic pair of all bits, one a row, and its probability [R]."""
    p = node_logits(code, logits).sigmoid()
    outcomes = torch.tensor([[1, 1], [0, 0], [1, 0], [0, 1]], dtype=logits.dtype)
    distribution = torch.stack([(2 * p - 1).clamp_min(0), (1 - 2 * p).clamp_min(0), *2 * [torch.minimum(p, 1 - p)]], -1)
    choice = torch.tensor(list(itertools.product(range(4), repeat=p.numel()))).view(-1, *p.shape)
    probability = distribution.expand(*choice.shape, 4).gather(-1, choice.unsqueeze(-1)).squeeze(-1).flatten(1).prod(-1)
    bits = outcomes[choice].movedim(-1, 0)
    return probability, CodedPair(code, bits, decode(code, bits))


@pytest.mark.parametrize(("sites", "classes"), SHAPES)
@pytest.mark.parametrize(("cls", "coded"), CODED)
def test_expectation_over_every_pair_is_the_exact_gradient(
    cls: type[Estimator], coded: Callable[[Tensor], Code], sites: int, classes: int
) -> None:
    logits, f = problem(sites, classes)
    probability, draw = every_pair(coded(logits), logits)
    latent = rows_of(logits, len(probability))
    estimate = cls(latent.spec).gradient(f, latent, draw)
    assert estimate.grad is not None
    torch.testing.assert_close(torch.einsum("r,rnk->nk", probability, estimate.grad), exact_gradient(f, logits))
    torch.testing.assert_close(probability @ estimate.value, expectation(f, Categorical(logits)))
    torch.testing.assert_close(torch.einsum("r,prnk->pnk", probability, draw.z)[0], logits.softmax(-1))


@pytest.mark.parametrize("classes", range(2, 10))
@pytest.mark.parametrize("coded", [stick_breaking, balanced_tree])
def test_codes_give_each_class_its_probability(coded: Callable[[Tensor], Code], classes: int) -> None:
    logits, _ = problem(1, classes)
    code, every_class = coded(logits), torch.eye(classes, dtype=torch.float64).unsqueeze(1)
    p = node_logits(code, logits).sigmoid()
    bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=classes - 1)), dtype=torch.float64).unsqueeze(1)
    probability = torch.where(bits > 0.5, p, 1 - p).prod(-1)
    z = decode(code, bits)
    assert (z.sum(-1) == 1).all()
    torch.testing.assert_close((probability.unsqueeze(-1) * z).sum(0), logits.softmax(-1))
    if coded is balanced_tree:
        lengths = path(code, every_class).sum(-1)
        assert lengths.max() == math.ceil(math.log2(classes))
    else:
        assert (p <= 0.5 + 1e-12).all()


@pytest.mark.parametrize("scale", [0.0, 1.0, 6.0])
def test_importance_weights_stay_below_two(scale: float) -> None:
    logits, _ = problem(1, 6, scale)
    _, draw = every_pair(stick_breaking(logits), logits)
    differ = (draw.z[0] != draw.z[1]).any(-1).any(-1)
    first = draw.z[0].squeeze(-2).argmax(-1)

    def f(z: Tensor) -> Tensor:
        return torch.stack([torch.ones_like(first), torch.zeros_like(first)]).to(z.dtype)

    estimate = DisarmIw(Categorical(logits).spec).gradient(f, rows_of(logits, len(first)), draw)
    assert estimate.grad is not None
    weight = 2 * estimate.grad.squeeze(-2).amax(-1)
    assert (weight[~differ] == 0).all()
    assert (weight[differ] > 0).all()
    assert (weight < 2).all()


@pytest.mark.parametrize("cls", [DisarmSb, DisarmTree, DisarmIw, ArsPlus])
def test_two_classes_are_disarm(cls: type[Estimator]) -> None:
    phi, f = torch.tensor([-2.0, -0.3, 0.4, 3.0], dtype=torch.float64), problem(4, 2)[1]
    bits, categories = Bernoulli(phi.expand(500, 4)), two_classes(phi.expand(500, 4))
    estimator = cls(categories.spec)
    draw = estimator.sample(categories, seeded(0))
    disarm = Disarm(bits.spec).gradient(lambda b: f(torch.stack([1 - b, b], -1)), bits, draw.z[..., 1])
    grad = estimator.gradient(f, categories, draw).grad
    assert grad is not None and disarm.grad is not None
    torch.testing.assert_close(grad, torch.stack([-disarm.grad, disarm.grad], -1))


def test_arsm_of_two_classes_is_arm() -> None:
    phi, f = torch.tensor([-2.0, -0.3, 0.4, 3.0], dtype=torch.float64), problem(4, 2)[1]
    categories = two_classes(phi.expand(500, 4))
    arsm = Arsm(categories.spec)
    draw = arsm.sample(categories, seeded(0))
    u = (-draw.noise).softmax(-1)[..., 1]
    b = torch.stack([u > 1 - phi.sigmoid(), u < phi.sigmoid()]).to(u.dtype)
    f_b = f(torch.stack([1 - b, b], -1))
    estimate = arsm.gradient(f, categories, draw)
    assert estimate.grad is not None
    torch.testing.assert_close(estimate.grad[..., 1], (f_b[0] - f_b[1]).unsqueeze(-1) * (u - 0.5))


def test_arsm_is_the_mean_of_ars_over_its_reference() -> None:
    logits, f = problem(2, 4)
    latent = rows_of(logits, 200)
    arsm = Arsm(latent.spec)
    draw = arsm.sample(latent, seeded(0))
    place = table(4, draw.noise.device)
    swaps = [ReferenceSwaps(draw.noise, torch.full((200, 1, 1), j), draw.z[place[:, j]]) for j in range(4)]
    of_each = [Ars(latent.spec).gradient(f, latent, swap) for swap in swaps]
    grads = [estimate.grad for estimate in of_each if estimate.grad is not None]
    torch.testing.assert_close(arsm.gradient(f, latent, draw).grad, torch.stack(grads).mean(0))


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_reference_is_integrated_along_the_ratios_of_the_others(classes: int) -> None:
    """∫ (1 - K π'_j) over the π'_j of the same swaps, by midpoints; off by less than the two cells at its ends."""
    cells, rows = 5_000, 20
    logits, _ = problem(1, classes)
    latent = rows_of(logits, rows)
    draw = Ars(latent.spec).sample(latent, seeded(1))
    ref = draw.ref.expand(rows, 1, 1)
    share = ((torch.arange(cells, dtype=torch.float64) + 0.5) / cells).view(-1, 1, 1, 1)
    rest = (-draw.noise).exp().scatter(-1, ref, 0.0).sum(-1, keepdim=True)
    moved = -(rest * share / (1 - share)).log()
    is_ref = torch.arange(classes) == ref
    noise = torch.where(is_ref, moved, draw.noise)
    same = torch.ones(cells, rows, dtype=torch.bool)
    for m in range(classes):
        z = swapped(Categorical(logits.expand(cells, rows, 1, classes)), noise, torch.tensor(m), ref)
        same &= (z == draw.z[m]).all(-1).all(-1)
    mass = (classes - 1) * (1 - share[..., 0, 0]) ** (classes - 2) / cells * same
    integral = (mass * (1 - classes * share[..., 0, 0])).sum(0)
    weight = integrated_reference(latent, draw.noise, draw.ref)[:, 0, 0]
    error = (integral - weight * mass.sum(0)).abs()
    assert (error < 2 * classes * (classes - 1) / cells).all()
    assert (mass.sum(0) > 20 / cells).sum() > rows / 2


@pytest.mark.parametrize(("plain", "plus"), [(Ars, ArsPlus), (Arsm, ArsmPlus)])
def test_plus_has_the_same_mean_on_the_same_draws(plain: type[Estimator], plus: type[Estimator]) -> None:
    logits, f = problem(2, 3)
    rows = 50_000
    latent = rows_of(logits, rows)
    draw = plain(latent.spec).sample(latent, seeded(0))
    one, other = (cls(latent.spec).gradient(f, latent, draw).grad for cls in (plain, plus))
    assert one is not None and other is not None
    difference = one - other
    z = difference.mean(0) / difference.std(0) * rows**0.5
    assert (z.abs() < norm.isf(ALPHA / 2 / z.numel())).all()
    assert (difference != 0).any()


def test_ars_plus_has_less_variance_than_ars() -> None:
    logits, f = problem(2, 3)
    rows = 50_000
    latent = rows_of(logits, rows)
    draw = Ars(latent.spec).sample(latent, seeded(0))
    ars, plus = (cls(latent.spec).gradient(f, latent, draw).grad for cls in (Ars, ArsPlus))
    assert ars is not None and plus is not None
    gain = ars.square() - plus.square()
    assert (gain.mean(0) / gain.std(0) * rows**0.5 > norm.isf(ALPHA / gain[0].numel())).all()


def test_arsm_plus_of_one_site_is_arsm() -> None:
    logits, f = problem(1, 4)
    latent = rows_of(logits, 500)
    draw = Arsm(latent.spec).sample(latent, seeded(0))
    arsm, plus = (cls(latent.spec).gradient(f, latent, draw).grad for cls in (Arsm, ArsmPlus))
    torch.testing.assert_close(arsm, plus)


@pytest.mark.parametrize("n", [2, 5])
def test_independent_carms_is_rloo(n: int) -> None:
    logits, f = problem(2, 3)
    latent = rows_of(logits, 200)
    carms = Carms(latent.spec, n=n, coupling="independent").estimate(f, latent, seeded(0))
    rloo = Rloo(latent.spec, n=n).estimate(f, latent, seeded(0))
    torch.testing.assert_close(carms.grad, rloo.grad)
    torch.testing.assert_close(carms.value, rloo.value)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("coupling", ["inverse-cdf", "stick-breaking"])
def test_carms_of_two_classes_is_arms(coupling: str, n: int) -> None:
    phi, f = torch.tensor([-2.0, -0.3, 0.4, 3.0], dtype=torch.float64), problem(4, 2)[1]
    bits, categories = Bernoulli(phi.expand(500, 4)), two_classes(phi.expand(500, 4))
    arms = Arms(bits.spec, n=n).estimate(lambda b: f(torch.stack([1 - b, b], -1)), bits, seeded(0))
    carms = Carms(categories.spec, n=n, coupling=coupling).estimate(f, categories, seeded(0))
    assert carms.grad is not None
    torch.testing.assert_close(carms.grad[..., 1], arms.grad)


def joint_distribution(logits: Tensor, n: int, coupling: str, rows: int) -> tuple[Tensor, Tensor]:
    """P(z_1, z_2) [K, K] as the ratios say, its diagonal from the marginals, and the counts of (z_1, z_2)."""
    pi, latent = logits.softmax(-1)[0], rows_of(logits, rows)
    z, ratio = COUPLINGS[coupling](latent, n, seeded(n))
    first, second = z[0, :, 0], z[1, :, 0]
    counts = first.T @ second
    ratios = first.T @ (second * ratio[0]) / counts.clamp_min(1)
    distribution = torch.outer(pi, pi) / ratios
    distribution.fill_diagonal_(0.0)
    return distribution + torch.diag(pi - distribution.sum(-1)), counts


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("coupling", ["inverse-cdf", "stick-breaking"])
def test_pairs_come_as_often_as_the_ratios_say(coupling: str, n: int) -> None:
    rows = 50_000
    distribution, counts = joint_distribution(problem(1, 4)[0], n, coupling, rows)
    apart = ~torch.eye(4, dtype=torch.bool)
    assert (counts[apart] > 0).all()
    assert (distribution > -1e-12).all()
    torch.testing.assert_close(distribution, distribution.T)
    possible = distribution > 1e-12
    assert (counts[~possible] == 0).all()
    statistic = ((counts - rows * distribution).square() / (rows * distribution))[possible].sum()
    assert statistic < chi2.isf(ALPHA, int(possible.sum()) - 1)


def test_two_draws_by_stick_breaking_are_disarm_iw() -> None:
    logits = problem(1, 4)[0]
    distribution, _ = joint_distribution(logits, 2, "stick-breaking", 20_000)
    probability, draw = every_pair(stick_breaking(logits), logits)
    exact = torch.einsum("r,ra,rb->ab", probability, draw.z[0, :, 0], draw.z[1, :, 0])
    torch.testing.assert_close(distribution, exact)


@pytest.mark.parametrize("n", [2, 4])
def test_stick_breaking_repeats_a_class_less_often_than_independent_draws(n: int) -> None:
    logits = problem(1, 4)[0]
    distribution, _ = joint_distribution(logits, n, "stick-breaking", 20_000)
    assert (distribution.diagonal() < logits.softmax(-1)[0].square()).all()
