"""Runs a short choice of the CUDA tests under compute-sanitizer: memcheck (addresses), initcheck (memory that nobody
has written), racecheck (shared memory). Needs a CUDA device; what shows without one is in tests/cuda_emulation.

    python scripts/check_cuda_sanitizer.py [--tools memcheck,initcheck,racecheck] [-- more arguments for pytest]
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# A kernel is a hundred times slower under these tools: values and gradients of every case once, and the empty inputs.
TESTS = ["tests/ops/test_ops.py", "tests/ops/test_rasterize.py"]
CHOICE = {
    "memcheck": "(slow_twin or alone or no_images or no_faces or contiguous or definition)",
    "initcheck": "(slow_twin or alone)",
    # The kernels with shared memory; those without have nothing that racecheck looks at.
    "racecheck": "alone and (shade or bump or deform or symmetry or blend)",
}
OPTIONS = {"memcheck": ["--leak-check=no"], "initcheck": [], "racecheck": ["--racecheck-report=all"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", default=",".join(CHOICE))
    parser.add_argument("pytest", nargs="*")
    arguments = parser.parse_args()
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        print("compute-sanitizer is not on this machine; it comes with the CUDA toolkit", file=sys.stderr)
        return 2
    # torch's allocator hands out parts of large blocks, in which an overrun stays unseen: one allocation a tensor.
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "OMP_NUM_THREADS": "1"}
    failed = []
    for tool in arguments.tools.split(","):
        choice = f"cuda and not emulated and {CHOICE[tool]}"
        command = [sanitizer, f"--tool={tool}", "--error-exitcode=1", "--target-processes=all", *OPTIONS[tool]]
        command += [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=0", *TESTS]
        command += ["-k", choice, *arguments.pytest]
        print(" ".join(command), flush=True)
        if subprocess.run(command, cwd=ROOT, env=environment).returncode:
            failed.append(tool)
    print(f"complaints from {', '.join(failed)}" if failed else "no complaint")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
