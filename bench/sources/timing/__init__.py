"""Time per phase, measured in blocks, on the CPU and on accelerators."""
