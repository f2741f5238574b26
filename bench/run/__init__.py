"""A run: its cells, where and in which order they are measured, and what the terminal shows."""
