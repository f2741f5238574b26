"""Discrete VAEs on MNIST: the data, the models, their objectives and their training."""
