"""Timings of the kernels: `python -m benchmarks` runs all and writes docs/performance.md."""
