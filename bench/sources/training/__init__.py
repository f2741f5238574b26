"""Training a VAE with an estimator: the step, the loop around it, and what is measured along the way."""
