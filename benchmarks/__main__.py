"""Runs every ``bench_*`` module of this folder and writes docs/performance.md.

    python -m benchmarks [--only rasterize interpolate] [--threads 1 2] [--seconds 1] [--output FILE | --print]

A bench module has TITLE (a heading), NOTES (a paragraph under its table) and ``run(threads, seconds)``, which yields
``Result``s for each number of threads; it checks its answers before it times them. On a busy machine only one thread is
measured, in processor time, unless ``--threads`` says otherwise.
"""

import argparse
import os
import platform
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.timing import Result
from pyface3d.ops._kernels import cpu_kernels

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    names = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="benchmarks to run")
    threads = [1] if _busy() else sorted({1, min(2, os.cpu_count() or 1)})
    parser.add_argument("--threads", nargs="+", type=int, default=threads)
    parser.add_argument("--seconds", type=float, default=1.0, help="time spent on each measurement")
    parser.add_argument("--output", type=Path, default=FOLDER.parent / "docs" / "performance.md")
    parser.add_argument("--print", action="store_true", help="print the report only")
    args = parser.parse_args()
    sections = [_heading()]
    for name in args.only:
        print(f"bench_{name} ...", flush=True)
        module = import_module(f"benchmarks.bench_{name}")
        results = list(module.run(args.threads, args.seconds))
        sections.append(f"## {module.TITLE}\n\n{_table(results)}\n\n{module.NOTES.strip()}\n")
        print(sections[-1], flush=True)
    if not args.print:
        args.output.write_text("\n".join(sections), encoding="utf-8")
        print(f"wrote {args.output}")


def _heading() -> str:
    isa = cpu_kernels().__name__.rsplit("_", 1)[-1]
    return f"""# Performance

Written by `python -m benchmarks` (`make bench`); every answer is checked before it is timed. Medians in milliseconds,
float32 unless a row says otherwise; a ratio is the peer's time over ours, both from this run. Differences under 10 %
(one thread) or 25 % (two) are noise. Rows of one thread are processor time, which other work on the machine does not
lengthen; rows of more are time on the wall.

Machine: {_processor()}, {os.cpu_count()} cores, kernels for {isa}; Python {platform.python_version()}, torch
{torch.__version__}. No figure here was taken on a GPU.{_load()}
"""


def _busy() -> bool:
    """Whether other work has a good part of the processor: then only processor time means anything."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5 * (os.cpu_count() or 1)


def _load() -> str:
    if not _busy():
        return ""
    load = os.getloadavg()[0]
    return (
        f" The load average was {load:.1f} at the start: other work may have lengthened rows of more than one thread."
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _table(results: Iterable[Result]) -> str:
    results = list(results)
    peers = list(dict.fromkeys(name for result in results for name in result.peers_ms))
    lines = [
        "| workload | threads | ours | " + "".join(f"{name} | ratio | " for name in peers) + "checked first |",
        "|---|---|---|" + "---|---|" * len(peers) + "---|",
    ]
    for result in results:
        cells = [result.workload, str(result.threads), _number(result.ours_ms)]
        for name in peers:
            time = result.peers_ms.get(name)
            cells += ["–", "–"] if time is None else [_number(time), f"{time / result.ours_ms:.1f} ×"]
        lines.append("| " + " | ".join([*cells, result.check]) + " |")
    return "\n".join(lines)


def _number(milliseconds: float) -> str:
    return f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:,.0f}"


if __name__ == "__main__":
    main()
