"""Training a VAE with an estimator: the step, the loop around it, and the evaluations along training."""
