"""The training of a toy's parameters."""
