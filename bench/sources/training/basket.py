"""The basket: estimators measured at the same parameters and minibatch along a training that they do not affect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from ....estimators import estimator as build
from ....estimators.contract import Unsupported
from ....estimators.latents import LatentSpec
from ....tasks.vae.latent_model import LatentModel
from ....tasks.vae.speed import in_float32
from ..gradient import model_problem
from ..settings import TrainSettings
from ..tuning import tune
from .logits_gradients import encoder_draws, logits_draws, reference_draws, relative_bias, squared_distances

BLOCKS = 32


class Basket:
    """The estimators named in the settings, built anew at every point so that none has a history.

    Raises UsageError on an unknown name.
    """

    def __init__(self, settings: TrainSettings, layers: Sequence[LatentSpec]) -> None:
        self.settings, self.layers = settings, layers
        self.refused = {name: reason for name in settings.basket if (reason := self._refusal(name))}

    def _refusal(self, name: str) -> str:
        try:
            build(name, *self.layers)
        except Unsupported as reason:
            return str(reason)
        return ""

    def measure(self, vae: LatentModel, x: Tensor, generator: Generator) -> dict[str, dict[str, Any] | str]:
        """Estimator name -> its metrics, or the reason why it does not support these latents.

        `var_cut` and `var_encoder` [draws] are the variance of the logits gradient and of the encoder's gradient.
        `bias_reference` and `bias_encoder` are the biases of the same, relative to one long mean of a reference that
        all share; estimators of a multi-sample bound have none, since their gradient is that of another objective.
        """
        found: dict[str, dict[str, Any] | str] = dict(self.refused)
        able = [name for name in self.settings.basket if name not in self.refused]
        reference = reference_draws(vae, x, self.settings.reference_draws, generator) if able else None
        with in_float32(vae):
            encoder = None if reference is None else encoder_draws(vae, x, block_means(reference, BLOCKS))
        for name in able:
            try:
                found[name] = self._of_one(name, vae, x, reference, encoder, generator)
            except Unsupported as reason:
                found[name] = str(reason)
        return found

    def _of_one(
        self,
        name: str,
        vae: LatentModel,
        x: Tensor,
        reference: Tensor | None,
        encoder: Tensor | None,
        generator: Generator,
    ) -> dict[str, Any]:
        """Raises Unsupported for an estimator of which the model's f is not defined."""
        estimator = build(name, *self.layers).to(x.device)
        problem, params, lower = model_problem(vae, x), vae.encode(x).detach(), estimator.lower(generator)
        tune(problem, estimator, params, self.settings.basket_tuning, generator, lower)
        estimator.eval()
        at_logits = logits_draws(vae, estimator, x, self.settings.variance_draws, generator)
        in_encoder = encoder_draws(vae, x, at_logits)
        metrics: dict[str, Any] = {
            "var_cut": squared_distances(at_logits).cpu().numpy(),
            "var_encoder": squared_distances(in_encoder).cpu().numpy(),
        }
        if reference is not None and encoder is not None and not estimator.bound:
            metrics["bias_reference"] = relative_bias(at_logits, reference)
            metrics["bias_encoder"] = relative_bias(in_encoder, encoder)
        return metrics


def block_means(draws: Tensor, blocks: int) -> Tensor:
    """Means of blocks of equally many draws, [draws, ...] -> [about `blocks`, ...]; draws left over are dropped."""
    size = max(1, len(draws) // blocks)
    return torch.stack([part.mean(0) for part in draws.split(size) if len(part) == size])
