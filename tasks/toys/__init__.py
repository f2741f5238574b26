"""Toy tasks: small objectives whose gradients are known exactly."""
