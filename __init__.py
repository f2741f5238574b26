"""dvae-bench: the referee of gradient estimators for discrete latent variables.

    from dvae_bench import Bernoulli, LatentSpec, estimator

    rloo = estimator("rloo:n=4", LatentSpec.bernoulli(200))
    loss = rloo(f, Bernoulli(encoder(x))).mean()
    loss.backward()

Names are loaded on first use, so that `dvae-bench --help` and `list` start without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bench.advice.advise import advise as advise
    from .bench.advice.measure import measure as measure
    from .bench.check import check as check
    from .bench.collectors.collector import Collector as Collector
    from .bench.results import Results as Results
    from .bench.results import load as load
    from .bench.rows import row as row
    from .bench.train import train as train
    from .estimators import estimator as estimator
    from .estimators.contract import Claim as Claim
    from .estimators.contract import Estimate as Estimate
    from .estimators.contract import Estimator as Estimator
    from .estimators.contract import expand_right as expand_right
    from .estimators.contract import scored as scored
    from .estimators.contract import splice as splice
    from .estimators.foreign import Reparametrised as Reparametrised
    from .estimators.foreign import Surrogate as Surrogate
    from .estimators.foreign import from_reparam as from_reparam
    from .estimators.foreign import from_surrogate as from_surrogate
    from .estimators.foreign import seeded as seeded
    from .estimators.latents import Bernoulli as Bernoulli
    from .estimators.latents import Categorical as Categorical
    from .estimators.latents import Codebook as Codebook
    from .estimators.latents import Continuous as Continuous
    from .estimators.latents import Encodings as Encodings
    from .estimators.latents import Gaussian as Gaussian
    from .estimators.latents import Latent as Latent
    from .estimators.latents import LatentSpec as LatentSpec
    from .estimators.latents import Objective as Objective
    from .estimators.latents import Policy as Policy
    from .estimators.latents import Sequence as Sequence
    from .estimators.latents import Subset as Subset
    from .estimators.layered import Layered as Layered
    from .estimators.names import Unsupported as Unsupported
    from .estimators.names import UsageError as UsageError
    from .estimators.tuning import Tuner as Tuner
    from .tasks.contract import Task as Task
    from .tasks.contract import Toy as Toy

__version__ = "0.1.0"

_HOME = {
    "advise": "dvae_bench.bench.advice.advise",
    "Bernoulli": "dvae_bench.estimators.latents",
    "Categorical": "dvae_bench.estimators.latents",
    "check": "dvae_bench.bench.check",
    "Claim": "dvae_bench.estimators.contract",
    "Codebook": "dvae_bench.estimators.latents",
    "Collector": "dvae_bench.bench.collectors.collector",
    "Continuous": "dvae_bench.estimators.latents",
    "Encodings": "dvae_bench.estimators.latents",
    "Estimate": "dvae_bench.estimators.contract",
    "Estimator": "dvae_bench.estimators.contract",
    "estimator": "dvae_bench.estimators",
    "expand_right": "dvae_bench.estimators.contract",
    "from_reparam": "dvae_bench.estimators.foreign",
    "from_surrogate": "dvae_bench.estimators.foreign",
    "Gaussian": "dvae_bench.estimators.latents",
    "Latent": "dvae_bench.estimators.latents",
    "LatentSpec": "dvae_bench.estimators.latents",
    "Layered": "dvae_bench.estimators.layered",
    "load": "dvae_bench.bench.results",
    "measure": "dvae_bench.bench.advice.measure",
    "Objective": "dvae_bench.estimators.latents",
    "Policy": "dvae_bench.estimators.latents",
    "Reparametrised": "dvae_bench.estimators.foreign",
    "Results": "dvae_bench.bench.results",
    "row": "dvae_bench.bench.rows",
    "Sequence": "dvae_bench.estimators.latents",
    "scored": "dvae_bench.estimators.contract",
    "seeded": "dvae_bench.estimators.foreign",
    "Subset": "dvae_bench.estimators.latents",
    "splice": "dvae_bench.estimators.contract",
    "Surrogate": "dvae_bench.estimators.foreign",
    "Task": "dvae_bench.tasks.contract",
    "Toy": "dvae_bench.tasks.contract",
    "train": "dvae_bench.bench.train",
    "Tuner": "dvae_bench.estimators.tuning",
    "Unsupported": "dvae_bench.estimators.names",
    "UsageError": "dvae_bench.estimators.names",
}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'dvae_bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
