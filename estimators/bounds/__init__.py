"""Multi-sample bounds on log p(x), which are objectives of their own: f is the joint energy -log p(x, z)."""
