"""Runs the tests of the kernels with the CPU modules built under AddressSanitizer and UndefinedBehaviorSanitizer.

    python scripts/check_sanitizers.py [--isa baseline avx2 avx512] [--tests tests/ops] [-- PYTEST-ARGUMENTS]

The build goes to build/sanitized and leaves the installed modules alone. Before the tests run, a deliberate read past
the end of an array must be reported: a sanitizer that sees nothing proves nothing. Exit code 0 only if that and every
test went well.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "sanitized"
ISAS = ("baseline", "avx2", "avx512")

# One row of faces too many is asked for: the kernel reads past the end of `faces` and writes past that of `normals`.
OVERFLOW = """
import torch
from pyface3d.ops._kernels import launch
verts, faces, normals = torch.rand(1, 3, 3), torch.tensor([[0, 1, 2]], dtype=torch.int32), torch.empty(1, 1, 3)
launch("face_normals", verts, faces, normals, 1, 3, 400)
"""


def main() -> int:
    arguments, pytest_arguments = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--isa", nargs="+", choices=ISAS, help="instruction sets (default: all this machine runs)")
    parser.add_argument("--tests", nargs="+", default=["tests/ops"], help="files or folders of tests")
    args = parser.parse_args(arguments)
    library = _build()
    environment = _environment(library)
    supported = _run_python(
        "from pyface3d._cpu_baseline import supported; print(*supported())", environment
    ).stdout.split()
    failed = []
    for isa in args.isa or [name for name in ISAS if name in supported]:
        if isa not in supported:
            print(f"{isa}: this machine cannot run it", flush=True)
            failed.append(isa)
            continue
        environment["PYFACE3D_ISA"] = isa
        print(f"== {isa}", flush=True)
        _check_that_it_sees(environment)
        tests = [str(ROOT / name) for name in args.tests]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
        command += ["--rootdir", str(ROOT), "-o", f"pythonpath={library} {ROOT}", *tests, *pytest_arguments]
        if subprocess.run(command, cwd=BUILD, env=environment).returncode:
            failed.append(isa)
    print(f"failed: {', '.join(failed)}" if failed else "clean")
    return 1 if failed else 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _build() -> Path:
    """Builds the whole package with sanitized modules into a folder of its own; returns that folder."""
    library = BUILD / "lib"
    environment = {
        **os.environ,
        "PYFACE3D_SANITIZE": "address,undefined",
        "PYFACE3D_CUDA": "off",
    }
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "build",
        "--build-lib",
        str(library),
        "--build-temp",
        str(BUILD / "tmp"),
    ]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return library


def _environment(library: Path) -> dict[str, str]:
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        sys.exit("check_sanitizers: no C++ compiler found; install g++")
    runtime = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return {
        **os.environ,
        "LD_PRELOAD": " ".join(runtime),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "PYTHONPATH": str(library),
    }


def _run_python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=BUILD, env=environment, capture_output=True, text=True)


def _check_that_it_sees(environment: dict[str, str]) -> None:
    found = _run_python(OVERFLOW, environment)
    if found.returncode == 0 or "AddressSanitizer" not in found.stderr:
        sys.exit(f"check_sanitizers: a deliberate overflow went unnoticed:\n{found.stdout}{found.stderr}")


if __name__ == "__main__":
    sys.exit(main())
