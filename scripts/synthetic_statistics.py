"""Statistics of synthetic faces beside those of photos: a table and plots.

    python scripts/synthetic_statistics.py FOLDER… -o statistics.png [--assets FILE] [--count 500] [--size 128]

Photos of the folders are cut out as the landmark network sees them, about what the detector finds; measured is the
middle of the crop, two thirds of its side, which the face fills. ``apart`` is the chance that a figure of a photo is
larger than that of a synthetic picture: 0.50 where the two cannot be told apart by it. The plots are histograms of
every figure and the mean power spectra.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyface3d.data.synthetic.engine import SyntheticFaces
from pyface3d.detect import detect_faces
from pyface3d.detect.face_points import face_crop
from pyface3d.errors import Pyface3dError
from pyface3d.evaluate.annotated_faces import evenly
from pyface3d.evaluate.picture_statistics import picture_statistics, power_spectra, separation
from pyface3d.evaluate.tables import Cell, Table
from pyface3d.io.images import read_image
from pyface3d.systems.inputs import expand_inputs

BATCH = 25
SYNTHETIC = "synthetic"
Pictures = NDArray[np.uint8]


def synthetic_crops(assets: Path | None, count: int, size: int, seed: int) -> Pictures:
    """(N, S, S, 3) samples that show a face."""
    engine = SyntheticFaces(assets, size=size, seed=seed)
    crops: list[Pictures] = []
    for start in tqdm(range(0, count, BATCH), desc=SYNTHETIC, disable=None):
        batch = engine.batch(start, min(BATCH, count - start))
        crops.extend(batch.image[batch.is_face].permute(0, 2, 3, 1).cpu().numpy())
    return np.stack(crops)


def photo_crops(folder: Path, count: int, size: int) -> Pictures:
    """(N, S, S, 3) of the photos of a folder in which a face is found."""
    crops = []
    for photo in tqdm(evenly(list(expand_inputs([str(folder)])), count), desc=folder.name, disable=None):
        image = read_image(photo.path)
        faces = detect_faces(image, min_size=max(20, min(image.shape[:2]) / 6))
        crops.extend(face_crop(face, size).warp(image) for face in faces[:1])
    return np.stack(crops)


def middle(crops: Pictures) -> Pictures:
    """The middle two thirds of the side."""
    margin = crops.shape[1] // 6
    return crops[:, margin : crops.shape[1] - margin, margin : crops.shape[2] - margin]


def statistics_table(figures: dict[str, dict[str, NDArray[np.float64]]]) -> Table:
    """A row per figure: mean and spread of each source, and how far photos and synthetic pictures can be told apart."""
    rows: list[dict[str, Cell]] = []
    for name in figures[SYNTHETIC]:
        row: dict[str, Cell] = {"figure": name if name == "slope" else f"{name} (x 100)"}
        for source, values in figures.items():
            unit = 1 if name == "slope" else 100
            row[source] = f"{unit * np.nanmean(values[name]):.2f} ± {unit * np.nanstd(values[name]):.2f}"
            if source != SYNTHETIC:
                row[f"apart: {source}"] = separation(figures[SYNTHETIC][name], values[name])
        rows.append(row)
    counts = ", ".join(f"{source} {len(next(iter(values.values())))}" for source, values in figures.items())
    return Table(f"Middle of face crops: mean ± standard deviation over pictures ({counts})", rows)


def plot(
    path: Path, figures: dict[str, dict[str, NDArray[np.float64]]], spectra: dict[str, NDArray[np.float64]]
) -> None:
    """Histograms of every figure, and the mean spectra."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(figures[SYNTHETIC])
    columns = 4
    grid, axes = pyplot.subplots(-(-(len(names) + 1) // columns), columns, figsize=(16, 13), layout="constrained")
    for axis, name in zip(axes.flat, names):
        everything = np.concatenate([values[name] for values in figures.values()])
        edges = np.linspace(*np.nanpercentile(everything, (0.5, 99.5)), 31)
        for source, values in figures.items():
            axis.hist(values[name], edges, density=True, histtype="step", label=source, linewidth=1.5)
        axis.set_title(name, fontsize=9)
        axis.set_yticks([])
    last = axes.flat[len(names)]
    for source, values in spectra.items():
        last.loglog(np.arange(1, values.shape[1]), values[:, 1:].mean(axis=0), label=source)
    last.set_title("mean power spectrum over cycles", fontsize=9)
    axes.flat[0].legend(fontsize=8)
    for axis in axes.flat[len(names) + 1 :]:
        axis.axis("off")
    grid.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--assets", type=Path, help="packed assets; the embedded head and rules when left out")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        crops = {SYNTHETIC: synthetic_crops(options.assets, options.count, options.size, options.seed)}
        crops |= {folder.name: photo_crops(folder, options.count, options.size) for folder in options.folders}
    except Pyface3dError as error:
        raise SystemExit(str(error)) from error
    figures = {source: picture_statistics(middle(pictures)) for source, pictures in crops.items()}
    spectra = {source: power_spectra(middle(pictures).mean(axis=3) / 255) for source, pictures in crops.items()}
    print(statistics_table(figures).text())
    plot(options.output, figures, spectra)
    print(options.output)


if __name__ == "__main__":
    main()
