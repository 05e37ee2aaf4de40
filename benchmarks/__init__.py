"""Timings of the kernels: `python -m benchmarks` runs all and writes docs/performance.md."""

import os

# Before NumPy is loaded: the idle threads of its BLAS spin, and would count as processor time of SciPy's solvers.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
