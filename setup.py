"""Builds the kernels with CMake and ninja; everything else is in pyproject.toml.

Environment: PYFACE3D_CUDA = auto | on | off, PYFACE3D_CUDA_ARCHS = "75;80;90", PYFACE3D_WERROR = 1.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def tool(name: str) -> str:
    """The program ``name``: from the build requirements' own folder first, then from PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise SystemExit(f"pyface3d: {name} was not found; install it (pip install {name}) and try again")
    return found


class CMakeExtension(Extension):
    def __init__(self, name: str) -> None:
        super().__init__(name, sources=[])


class CMakeBuild(build_ext):
    """One CMake run makes every native module, straight into the package's folder (built or, in place, the source)."""

    def run(self) -> None:
        self.was_in_place = bool(self.inplace)  # setuptools hides the flag while it builds
        super().run()

    def target(self) -> Path:
        in_place = self.inplace or getattr(self, "was_in_place", False) or getattr(self, "editable_mode", False)
        return (ROOT if in_place else Path(self.build_lib).resolve()) / "pyface3d"

    def build_extension(self, ext: Extension) -> None:
        import pybind11

        target = self.target()
        build = Path(self.build_temp).resolve()
        build.mkdir(parents=True, exist_ok=True)
        options = [
            f"-DPYFACE3D_OUTPUT={target}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DPYFACE3D_CUDA={os.environ.get('PYFACE3D_CUDA', 'auto').lower()}",
            f"-DPYFACE3D_CUDA_ARCHS={os.environ.get('PYFACE3D_CUDA_ARCHS', '')}",
            f"-DPYFACE3D_WERROR={os.environ.get('PYFACE3D_WERROR', '0')}",
            f"-DPYFACE3D_SANITIZE={os.environ.get('PYFACE3D_SANITIZE', '')}",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
        ]
        subprocess.run([tool("cmake"), "-S", str(ROOT), "-B", str(build), "-G", "Ninja", *options], check=True)
        subprocess.run([tool("cmake"), "--build", str(build)], check=True)

    def copy_extensions_to_source(self) -> None:
        """Nothing to copy: an in-place build writes there itself."""

    def get_outputs(self) -> list[str]:
        return sorted(str(p) for pattern in ("_c*.so", "_c*.pyd") for p in self.target().glob(pattern))

    def get_output_mapping(self) -> dict[str, str]:
        return {}


setup(ext_modules=[CMakeExtension("pyface3d._kernels")], cmdclass={"build_ext": CMakeBuild})
