"""Storchastic's methods, unmodified.

    dvae-bench run --plugin examples/peers/storchastic_peers.py -e 'storch-*' -t bit-table:d=3

Importing storch patches torch for the whole process, so measure these in a process of their own, without other
estimators. The replicates are one plate, like a minibatch; control variates keep their initial parameters.
"""

import storch
import storch.method as methods
import torch
from dvae_bench import Claim, Surrogate, seeded
from torch.distributions import Bernoulli, OneHotCategorical


class Storchastic(Surrogate):
    """Abstract: `method()` makes the object of storch.method that samples; the loss is storch's own surrogate.

    The object is kept in a tuple, because the parameters of a submodule would be tuned.
    """

    def __init__(self, spec, **values):
        super().__init__(spec, **values)
        with seeded(0, torch.device("cpu")):
            self.method_alone = (self.method(),)

    def fn(self, f, logits):
        batch = logits.shape[: -len(self.spec.event_shape)]
        rows = logits.reshape(-1, *self.spec.param_shape)
        plated = storch.denote_independent(rows, 0, "rows") if len(rows) > 1 else rows[0]
        (method,) = self.method_alone
        z = method(self.distribution(plated))
        z = z.float() if z.dtype == torch.bool else z
        try:
            cost = self.evaluate(f, batch, z)
            storch.add_cost(cost, "f")
            loss = storch.inference.surrogate_loss()
            value = storch.reduce_plates(cost, [plate for plate in cost.plates if plate.name != "rows"])
        finally:
            storch.reset()
        return plain(loss), plain(value).reshape(batch)

    def distribution(self, logits):
        """Categoricals take probs=, because with logits= REBAR and RELAX raise a KeyError."""
        if self.spec.kind == "bernoulli":
            return Bernoulli(logits=logits)
        return OneHotCategorical(probs=logits.softmax(-1))

    def evaluate(self, f, batch, z):
        """f at a storch tensor z, whose plates come in any order, with plates of size 1 dropped."""
        event = self.spec.event_shape
        plates = [plate.name for plate in z.multi_dim_plates()]
        plated = "rows" in plates
        place = plates.index("rows") if plated else len(plates)

        def at(z):
            draws = (z if plated else z.unsqueeze(place)).movedim(place, -1 - len(event))
            f_z = f(draws.reshape(-1, *batch, *event)).reshape(draws.shape[: -len(event)])
            return f_z.movedim(-1, place) if plated else f_z.squeeze(-1)

        return storch.deterministic(at)(z)


def plain(tensor):
    return tensor._tensor if isinstance(tensor, storch.Tensor) else tensor


class StorchReinforce(Storchastic):
    """ScoreFunction without a baseline."""

    name = "storch-reinforce"
    latents = ("bernoulli", "categorical")
    cost = "1 evaluation"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"

    def method(self):
        return methods.ScoreFunction("z")


class StorchLoo(Storchastic):
    """ScoreFunction with two samples, each the baseline of the other."""

    name = "storch-loo"
    latents = ("bernoulli", "categorical")
    cost = "2 evaluations"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"

    def method(self):
        return methods.ScoreFunction("z", n_samples=2, baseline_factory="batch_average")


class StorchRebar(Storchastic):
    """REBAR, untuned."""

    name = "storch-rebar"
    latents = ("bernoulli", "categorical")
    differentiates = True
    cost = "3 evaluations, 3 differentiations"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"

    def method(self):
        return methods.REBAR("z")


class StorchRelax(Storchastic):
    """RELAX with its own network, untrained."""

    name = "storch-relax"
    latents = ("bernoulli", "categorical")
    cost = "1 evaluation"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"

    def method(self):
        return methods.RELAX("z", in_dim=self.spec.event_shape)


class StorchArm(Storchastic):
    """ARM."""

    name = "storch-arm"
    latents = ("bernoulli",)
    cost = "2 evaluations"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"

    def method(self):
        return methods.ARM("z")


class StorchDisarm(Storchastic):
    """DisARM, with its booleans converted to floats."""

    name = "storch-disarm"
    latents = ("bernoulli",)
    cost = "2 evaluations"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"

    def method(self):
        return methods.DisARM("z")


class StorchWithoutReplacement(Storchastic):
    """ScoreFunctionWOR, k = 2."""

    name = "storch-without-replacement"
    latents = ("bernoulli", "categorical")
    cost = "2 evaluations"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"

    def method(self):
        return methods.ScoreFunctionWOR("z", k=2)


class StorchUnorderedSet(Storchastic):
    """UnorderedSetEstimator, k = 2."""

    name = "storch-unordered-set"
    latents = ("bernoulli", "categorical")
    cost = "2 evaluations"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"

    def method(self):
        return methods.UnorderedSetEstimator("z", k=2)


class StorchRaoBlackwell(Storchastic):
    """RaoBlackwellSF: one configuration is summed, one is drawn."""

    name = "storch-rao-blackwell"
    latents = ("bernoulli", "categorical")
    cost = "2 evaluations"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"

    def method(self):
        return methods.RaoBlackwellSF("z", 2)


class StorchGumbelSoftmax(Storchastic):
    """GumbelSoftmax at τ = 0.5."""

    name = "storch-gumbel-softmax"
    latents = ("bernoulli", "categorical")
    differentiates = True
    cost = "1 evaluation, 1 differentiation"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"
    claimed = Claim(target="own-relaxed", unbiased=False)

    def method(self):
        return methods.GumbelSoftmax("z", initial_temperature=0.5)


class StorchStGumbelSoftmax(Storchastic):
    """GumbelSoftmax, straight-through, at τ = 0.5."""

    name = "storch-st-gumbel-softmax"
    latents = ("bernoulli", "categorical")
    differentiates = True
    cost = "1 evaluation, 1 differentiation"
    reference = "van Krieken, Tomczak & ten Teije 2021, Storchastic"
    claimed = Claim(unbiased=False)

    def method(self):
        return methods.GumbelSoftmax("z", straight_through=True, initial_temperature=0.5)
