"""Ours against public code, and public code as rows of our table. Skipped where a peer is missing (extra `peers`).

Two distributions are compared by Welch's test on 64 block means of each coordinate and on 64 block variances; ALPHA is
the chance of a false alarm in one such test under fresh seeds, and with the fixed seeds there is none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dvae_bench.estimators.contract import Claim, expand_right
from dvae_bench.estimators.costs import Cost
from dvae_bench.estimators.enumeration.exact import Exact
from dvae_bench.estimators.foreign import Foreign, from_reparam, from_surrogate
from dvae_bench.estimators.latents import KINDS, Bernoulli, Categorical, Latent, LatentSpec, Objective
from dvae_bench.estimators.names import Name
from dvae_bench.estimators.registry import ESTIMATORS, TASKS, Registry, read_plugins
from dvae_bench.estimators.relaxations.gumbel_softmax import GumbelSoftmax
from dvae_bench.estimators.straight_through.reinmax import Reinmax
from dvae_bench.estimators.straight_through.st_gumbel_softmax import StGumbelSoftmax
from scipy.stats import ttest_ind
from torch import Tensor
from torch.nn.functional import gumbel_softmax

ALPHA = 1e-6
HERE = Path(__file__).parent
PLUGINS = HERE.parent.parent / "examples" / "peers"
MODULES = {"storchastic_peers": "storch", "reinmax_peer": "reinmax", "pyro_peers": "pyro", "trl_peers": "trl"}
SPEC = LatentSpec.categorical(2, 3)
SAME_LAW = [
    ("reinforce", "storch-reinforce", "bit-table:d=3"),
    ("reinforce", "storch-reinforce", "category-table"),
    ("rloo", "storch-loo", "bit-table:d=3"),
    ("rloo", "storch-loo", "category-table"),
    ("arm", "storch-arm", "bit-table:d=3"),
    ("sum-and-sample:k=2", "storch-rao-blackwell", "category-table"),
    ("gumbel-softmax", "storch-gumbel-softmax", "bit-table:d=3"),
    ("gumbel-softmax", "storch-gumbel-softmax", "category-table"),
    ("st-gumbel-softmax", "storch-st-gumbel-softmax", "category-table"),
]

TEN_LINES = """
from dvae_bench.estimators.foreign import Reparametrised
from torch.nn.functional import gumbel_softmax

class Theirs(Reparametrised):
    name = "theirs"
    latents = ("categorical",)
    differentiates = True
    cost = "1 evaluation, 1 differentiation"
    reference = "torch"

    def fn(self, logits):
        return gumbel_softmax(logits, tau=0.5, hard=True)
"""


def alone(plugin: str, *arguments: str) -> Any:
    """The JSON of peer_draws.py in a process of its own; skips where the peer is missing."""
    if find_spec(MODULES[plugin]) is None:
        pytest.skip(f"{MODULES[plugin]} is not installed (extra `peers`)")
    command = [sys.executable, "-W", "ignore", str(HERE / "peer_draws.py"), str(PLUGINS / f"{plugin}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def storchastic() -> Callable[[str], dict[str, Any]]:
    """Storchastic's blocks on a task, measured once."""
    known: dict[str, dict[str, Any]] = {}

    def blocks(task: str) -> dict[str, Any]:
        if task not in known:
            names = {theirs for _, theirs, on in SAME_LAW if on == task}
            known[task] = alone("storchastic_peers", task, "300", *sorted(names))
        return known[task]

    return blocks


def cubic(z: Tensor) -> Tensor:
    weight = torch.linspace(-1, 2, 6, dtype=z.dtype).view(2, 3)
    return ((z * weight).sum((-2, -1)) - 0.3) ** 3


def random_logits() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(50, 2, 3, generator=generator, dtype=torch.float64).requires_grad_()


def test_reinmax_is_the_package_on_shared_samples() -> None:
    package = pytest.importorskip("reinmax", reason="reinmax is not installed (extra `peers`)")
    for tau in (1.0, 1.3):
        logits = random_logits()
        z, _ = package.reinmax(logits, tau)
        (theirs,) = torch.autograd.grad(cubic(z).sum(), logits)
        value = Reinmax(SPEC, tau=tau).gradient(cubic, Categorical(logits), z.detach().unsqueeze(0)).value
        (ours,) = torch.autograd.grad(value.sum(), logits)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("cls", "hard"), [(GumbelSoftmax, False), (StGumbelSoftmax, True)])
def test_gumbel_softmax_is_torchs_on_shared_noise(cls: Any, hard: bool) -> None:
    logits = random_logits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        z = gumbel_softmax(logits, tau=0.5, hard=hard)
        torch.manual_seed(5)
        noise = -torch.empty_like(logits).exponential_().log()
    (theirs,) = torch.autograd.grad(cubic(z).sum(), logits)
    value = cls(SPEC, tau=0.5).gradient(cubic, Categorical(logits), noise.unsqueeze(0)).value
    (ours,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(value, cubic(z), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("task", ["bit-table:d=3", "category-table"])
def test_exact_is_pyros_enumeration(task: str) -> None:
    blocks = alone("pyro_peers", task, "2", "pyro-enum")["pyro-enum"]
    name = Name.parse(task)
    toy = TASKS.find(name.family).load()(**name.values)
    params = toy.params()
    latent = toy.latent(params)
    value = Exact(toy.layers[0])(toy.objective(latent), latent)
    (cut,) = torch.autograd.grad(value, params)
    np.testing.assert_allclose(np.array(blocks["means"]), np.tile(cut.flatten(), (64, 1)), atol=1e-6)


@pytest.mark.parametrize(("ours", "theirs", "task"), SAME_LAW)
def test_same_distribution_as_storchastic(
    ours: str, theirs: str, task: str, storchastic: Callable[[str], dict[str, Any]], examine: Callable[..., Any]
) -> None:
    peer = storchastic(task)[theirs]
    name = Name.parse(ours)
    cut = examine(ESTIMATORS.find(name.family).load(), task, **name.values).draws.moments["cut"]
    means = ttest_ind(cut.block_means, np.array(peer["means"]), equal_var=False).pvalue
    assert min(means) * len(means) >= ALPHA, means
    assert ttest_ind(cut.block_spread, peer["spread"], equal_var=False).pvalue >= ALPHA


def test_a_row_of_storchastic_is_storch_backward() -> None:
    differences = alone("storchastic_peers", "as-they-are")
    assert len(differences) == 11
    assert max(differences.values()) < 1e-5, differences


@pytest.mark.parametrize("plugin", MODULES)
def test_facts_are_read_without_importing_a_peer(plugin: str) -> None:
    found = read_plugins(PLUGINS / f"{plugin}.py", f"unread_{plugin}")
    assert found
    for row in found:
        assert set(row.facts["latents"]) <= set(KINDS)
        Cost.parse(row.facts["cost"])
        assert row.facts["reference"] and row.facts["doc"]
    assert f"unread_{plugin}" not in sys.modules


def reinforced(wrong: float, f: Objective, logits: Tensor) -> Tensor:
    """REINFORCE as a DiCE loss, f e^(log q - its own detached value); `wrong` scales log q."""
    latent = Bernoulli(logits)
    z = torch.bernoulli(logits.detach().sigmoid()).unsqueeze(0)
    log_q = wrong * latent.log_prob(z)
    return (f(z) * (log_q - log_q.detach()).exp()).squeeze(0)


def test_a_wrapped_surrogate_is_judged(examine: Callable[..., Any]) -> None:
    right = from_surrogate("their-reinforce", partial(reinforced, 1.0), latents=("bernoulli",))
    wrong = from_surrogate("their-wrong-reinforce", partial(reinforced, 0.8), latents=("bernoulli",))
    assert min(examine(right, "bit-table:d=3").p.values()) >= ALPHA
    assert examine(wrong, "bit-table:d=3").p["cut"] < ALPHA


def test_a_mean_with_its_value_apart_carries_the_rows_gradients() -> None:
    def fn(f: Objective, logits: Tensor) -> tuple[Tensor, Tensor]:
        z = (logits > 0).to(logits.dtype)
        score = Bernoulli(logits).log_prob(z)
        return (f(z.unsqueeze(0)).detach().squeeze(0) * score).mean() - 7, f(z.unsqueeze(0)).squeeze(0)

    def f(z: Tensor) -> Tensor:
        return z.sum(-1) + 1

    logits = torch.tensor([[1.0, -1.0], [2.0, 0.5], [-0.3, -2.0]], requires_grad=True)
    latent: Latent = Bernoulli(logits)
    loss = from_surrogate("mode", fn)(LatentSpec.bernoulli(2))(f, latent)
    z = (logits.detach() > 0).float()
    torch.testing.assert_close(loss.detach(), f(z))
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(grad, expand_right(f(z), z) * latent.score(z))


def test_foreign_code_draws_from_the_generator_given_and_leaves_torchs_own_alone() -> None:
    cls: type[Foreign] = from_reparam(
        "torchs", partial(gumbel_softmax, tau=0.5), latents=("categorical",), claim=Claim("own-relaxed", False)
    )
    row, logits = cls(SPEC), random_logits()
    before = torch.get_rng_state()
    first, again, other = (row(cubic, Categorical(logits), torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert row.claim().target == "own-relaxed"
    assert torch.autograd.grad(first.sum(), logits)[0].abs().sum() > 0


def test_a_plugin_file_of_ten_lines(tmp_path: Path, examine: Callable[..., Any]) -> None:
    file = tmp_path / "theirs.py"
    file.write_text(TEN_LINES)
    registry = Registry("estimator", HERE, "none")
    (plugin,) = registry.add_file(file)
    assert plugin.facts["latents"] == ("categorical",)
    assert examine(plugin.load(), "category-table").p["cut"] < ALPHA
