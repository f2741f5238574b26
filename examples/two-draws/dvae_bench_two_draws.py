"""two-draws: two draws, each the baseline of the other."""

from dvae_bench import Estimate, Estimator, expand_right


class TwoDrawsEstimator(Estimator):
    """g = ½ (f(z₁) - f(z₂)) (∇ log q(z₁) - ∇ log q(z₂)), with z₁ and z₂ drawn from q."""

    formula = r"g = \tfrac12 (f(z_1) - f(z_2))(\nabla \log q(z_1) - \nabla \log q(z_2))"
    name = "two-draws"
    latents = ("bernoulli", "categorical")
    n = 2
    cost = "2 evaluations"
    reference = "where it was published"

    def gradient(self, f, latent, draw):
        f_z, score = f(draw), latent.score(draw)
        weight = (f_z[0] - f_z[1]).detach() / 2
        return Estimate(f_z.mean(0), expand_right(weight, score[0]) * (score[0] - score[1]))
