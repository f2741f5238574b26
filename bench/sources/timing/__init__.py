"""Time per phase, block by block, on the CPU and on accelerators."""
