"""A run: its cells, where and in which order they are measured, and the output on the terminal."""
