"""Compiles csrc/cuda for the host: each file again only when it, what it includes or the compiler has changed."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CSRC = ROOT / "csrc"

_COMMON = ["-std=c++17", "-x", "c++", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-MMD"]
_INCLUDES = [f"-I{HERE}", f"-I{CSRC}"]  # in this order: our cuda_runtime.h and cuda/launch.cuh come first
# The compiler's calls for ThreadSanitizer, without its run-time library: memory.cpp answers them. Contraction is off
# as in cmake/cuda.cmake.
_KERNELS = ["-O1", "-ffp-contract=off", "-fsanitize=thread", "--param", "tsan-distinguish-volatile=1"]
_KERNELS += ["--param", "tsan-instrument-func-entry-exit=0"]
_RUNTIME = ["-O2", "-fcf-protection=none"]  # a shadow stack would not know of context.h
_BINDINGS = [
    "-O0",
    "-DPF3D_MODULE=_cuda_emulated",
    f"-I{pybind11.get_include()}",
    f"-I{sysconfig.get_paths()['include']}",
]


def compiler() -> str | None:
    """GCC: the instrumentation is asked for in its words."""
    found = shutil.which(os.environ.get("CXX", "g++"))
    if found is None or b"clang" in subprocess.run([found, "--version"], capture_output=True).stdout:
        return None
    return found


def build() -> Path:
    """The extension module ``_cuda_emulated``."""
    jobs = [(path, _KERNELS) for path in sorted((CSRC / "cuda").glob("*.cu"))]
    return link("_cuda_emulated", [(CSRC / "bindings_cuda.cpp", _BINDINGS), *jobs])


def build_faulty() -> Path:
    """The kernels of faulty.cu, for ctypes."""
    return link("faulty", [(HERE / "faulty.cu", _KERNELS)])


def link(name: str, jobs: list[tuple[Path, list[str]]], folder: Path = ROOT / "build" / "cuda_emulation") -> Path:
    """A library of these sources and the run-time library of the emulation; several processes may call this at once."""
    cxx = compiler()
    assert cxx is not None
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        jobs = [*jobs, *((HERE / part, _RUNTIME) for part in ("runtime.cpp", "memory.cpp"))]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(lambda job: _compile(cxx, *job, folder), jobs))
        module = folder / f"{name}_{_digest(objects)}.so"
        if not module.exists():
            for old in folder.glob(f"{name}_*.so"):
                old.unlink()  # a process that has loaded it keeps it
            unfinished = module.with_suffix(".part")
            _run([cxx, "-shared", *map(str, objects), "-o", str(unfinished)])
            unfinished.rename(module)
    return module


def _compile(cxx: str, source: Path, flags: list[str], folder: Path) -> Path:
    out, key_file = folder / f"{source.name}.o", folder / f"{source.name}.json"
    command = [cxx, *_COMMON, *flags, *_INCLUDES, "-c", str(source), "-o", str(out)]
    if out.exists() and key_file.exists():
        kept = json.loads(key_file.read_text())
        if kept["key"] == _key(command, kept["files"]):
            return out
    key_file.unlink(missing_ok=True)
    _run(command)
    rule = out.with_suffix(".d").read_text().replace("\\\n", " ")
    files = [path for path in rule.split(":", 1)[1].split() if not path.startswith("/usr/")]
    key_file.write_text(json.dumps({"key": _key(command, files), "files": files}))
    return out


def _key(command: list[str], files: list[str]) -> str:
    version = subprocess.run([command[0], "--version"], capture_output=True, text=True).stdout
    paths = [Path(path) for path in files]
    return "" if not all(p.exists() for p in paths) else _digest(paths, " ".join(command) + version)


def _digest(paths: list[Path], text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
