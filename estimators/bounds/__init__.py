"""Multi-sample bounds on log p(x), objectives of their own: f is the joint energy -log p(x, z)."""
