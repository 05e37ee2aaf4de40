"""Compiles every CUDA source for every architecture that nvcc knows from sm_75 on, warnings as errors, and writes what
ptxas says of each kernel: registers, stack, spills. Fails on a warning, and where a float32 kernel spills.

    python scripts/check_cuda_build.py [--write docs/cuda_build.md] [--archs 75,90]
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = 75
# As in cmake/cuda.cmake.
FLAGS = ["-std=c++17", "-O3", "--fmad=false", "--Werror=all-warnings", f"-I{ROOT / 'csrc'}"]

# What ptxas -v prints of one kernel, in this order.
_ENTRY = re.compile(r"Compiling entry function '(?P<name>[^']+)' for 'sm_(?P<arch>\d+)'")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True)
class Usage:
    """One kernel on one architecture; stack, spills and shared memory in bytes."""

    file: str
    kernel: str
    precision: str
    arch: int
    registers: int
    stack: int
    spills: int
    shared: int


def architectures(nvcc: str) -> list[int]:
    listed = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, check=True).stdout
    return sorted(arch for arch in map(int, re.findall(r"^sm_(\d+)$", listed, re.MULTILINE)) if arch >= OLDEST)


def compile_for_all(nvcc: str, source: Path, archs: list[int], folder: Path) -> tuple[list[Usage], str]:
    """What the kernels of a file use; and what the compiler complains of, or nothing."""
    targets = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs]
    out = folder / f"{source.stem}.o"
    command = [nvcc, *FLAGS, *targets, "-Xptxas", "-v", "-c", str(source), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        complaint = "\n".join(line for line in done.stderr.splitlines() if "ptxas info" not in line)
        return [], f"{source.name}: {complaint or done.stderr}"
    return usages(source.name, done.stderr), ""


def usages(file: str, log: str) -> list[Usage]:
    found = []
    for part in log.split("ptxas info    : Compiling entry")[1:]:
        part = "Compiling entry" + part
        entry, frame, used = _ENTRY.search(part), _FRAME.search(part), _USED.search(part)
        if entry is None or frame is None or used is None:
            raise SystemExit(f"{file}: ptxas -v prints something new:\n{part}")
        stack, stores, loads = map(int, frame.groups())
        shared = _SHARED.search(part)
        kernel, precision = readable(entry["name"])
        found.append(
            Usage(
                file,
                kernel,
                precision,
                int(entry["arch"]),
                int(used[1]),
                stack,
                stores + loads,
                int(shared[1]) if shared else 0,
            )
        )
    return found


def readable(mangled: str) -> tuple[str, str]:
    """Name of the kernel and its first template argument: ("draw_kernel", "float")."""
    text = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout
    text = text.replace("(anonymous namespace)::", "").replace("pyface3d::cuda::", "")
    name = re.match(r"(?:void )?(\w+)(?:<(float|double)\b)?", text)
    if name is None:
        raise SystemExit(f"{mangled} is not the name of a kernel")
    return name[1], name[2] or ""


def table(found: list[Usage], archs: list[int], version: str) -> str:
    kernels: dict[tuple[str, str], dict[str, list[Usage]]] = defaultdict(lambda: defaultdict(list))
    for usage in found:
        kernels[usage.file, usage.kernel][usage.precision].append(usage)
    lines = [
        "# What the CUDA kernels use",
        "",
        f"Written by `make check-cuda` with {version}; architectures: {', '.join(f'sm_{arch}' for arch in archs)}. The",
        "greatest figure over all architectures and all instances of a kernel (the sums of `csrc/cuda/sums.cuh` make",
        "three). Spills are bytes stored and loaded; the check fails on any in float32.",
        "",
        "| file | kernel | registers f32 | f64 | spills f32 | f64 | stack f32 | f64 | shared memory f32 | f64 |",
        "|---|---|" + "---|" * 8,
    ]
    for (file, kernel), by_precision in sorted(kernels.items()):
        pairs = []
        for what in ("registers", "spills", "stack", "shared"):
            for precision in ("float", "double"):
                of = by_precision.get(precision) or by_precision.get("", [])
                pairs.append(str(max((getattr(usage, what) for usage in of), default="–")))
        lines.append(f"| {file} | {kernel} | " + " | ".join(pairs) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="where the table goes; printed without")
    parser.add_argument("--archs", help="only these, e.g. 75,90")
    parser.add_argument("--jobs", type=int, default=None, help="files compiled at once")
    arguments = parser.parse_args()
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        print("no nvcc on this machine: nothing can be checked", file=sys.stderr)
        return 2
    known = architectures(nvcc)
    archs = sorted(map(int, arguments.archs.split(","))) if arguments.archs else known
    if unknown := set(archs) - set(known):
        print(f"nvcc does not know {sorted(unknown)}; it knows {known}", file=sys.stderr)
        return 2
    sources = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(lambda source: compile_for_all(nvcc, source, archs, Path(folder)), sources))
    complaints = [complaint for _, complaint in results if complaint]
    found = [usage for usages, _ in results for usage in usages]
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[-2]
    page = table(found, archs, f"nvcc ({version.split(', ')[-1]})")
    if arguments.write and not complaints:
        arguments.write.write_text(page, encoding="utf-8")
    elif not arguments.write:
        print(page)
    complaints += [
        f"{u.file}: {u.kernel}<{u.precision}> spills {u.spills} bytes on sm_{u.arch} ({u.registers} registers)"
        for u in found
        if u.spills and u.precision != "double"
    ]
    print("\n".join(complaints), file=sys.stderr)
    print(f"{len(sources)} files, {len(archs)} architectures, {len(found)} kernels, {len(complaints)} complaint(s)")
    return 1 if complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
