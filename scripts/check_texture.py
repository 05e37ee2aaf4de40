"""Measure completed textures on seeded people with occluders, beside the trivial answers.

    python scripts/check_texture.py --people 40 --seed 0 [--occluders FOLDER] [--mask coarse] [--sheet OUT.png]

Pose and shape are given; measured is what is painted where the photo shows no skin. FOLDER holds cut-outs with alpha
(PNG, WebP); without it, occluders are plain and striped ellipses. Colours tell them from the face, or with --mask the
true mask does: exact, or as coarse as the part network's.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from pyface3d.detect.parts import CROP_SIZE
from pyface3d.evaluate.textured_heads import TexturedPhoto, textured_photo
from pyface3d.face_models import FaceModel, load_face_model
from pyface3d.fit.texture import build_texture
from pyface3d.fit.texture_areas import face_areas
from pyface3d.fit.texture_chart import TexelGrid, texel_grid
from pyface3d.fit.texture_view import FaceView, face_view
from pyface3d.io.color import linear_to_srgb, srgb_to_linear

TEXTURE = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--occluders", type=Path, help="folder of cut-outs with alpha, searched recursively")
    parser.add_argument("--mask", choices=("none", "true", "coarse"), default="none", help="what build_texture is told")
    parser.add_argument("--sheet", type=Path, help="picture of photo, truth, ours, for the first eight")
    arguments = parser.parse_args()
    model = load_face_model("head")
    cutouts = _cutouts(arguments.occluders)
    generator = torch.Generator().manual_seed(arguments.seed)
    figures: dict[str, list[float]] = defaultdict(list)
    rows = []
    for _ in range(arguments.people):
        pick = int(torch.randint(max(len(cutouts), 1), (), generator=generator))
        occluder = _read_cutout(cutouts[pick]) if cutouts else None
        photo = textured_photo(model, generator, texture_size=TEXTURE, occluder=occluder)
        start = time.perf_counter()
        mask = _mask(photo, arguments.mask)
        texture = build_texture(model, photo.image, photo.fit, mask=mask, size=TEXTURE)
        figures["seconds"].append(time.perf_counter() - start)
        for name, value in _measure(model, photo, texture.image, texture.observed).items():
            figures[name].append(value)
        if len(rows) < 8:
            shown = (photo.image, photo.texture, texture.image, texture.observed[..., None].expand(-1, -1, 3))
            rows.append(np.concatenate([_tile(picture) for picture in shown], 1))
    told = f"mask {arguments.mask}"
    print(f"{arguments.people} people, seed {arguments.seed}, {len(cutouts) or 'drawn'} occluders, {told}")
    for name, values in figures.items():
        print(f"{name:46s} median {np.nanmedian(values):8.3f}   mean {np.nanmean(values):8.3f}")
    if arguments.sheet:
        cv2.imwrite(str(arguments.sheet), np.concatenate(rows)[..., ::-1])


def _mask(photo: TexturedPhoto, kind: str) -> Tensor | None:
    """What the texture is told of the face that is seen."""
    if kind == "none":
        return None
    mask = photo.head & ~photo.occluder
    if kind == "true":
        return mask
    rows = photo.head.any(1).nonzero()
    size = int(rows[-1] - rows[0]) + 1
    # The head fills most of the network's square.
    pixels = [round(CROP_SIZE * side / (1.2 * size)) for side in mask.shape]
    small = torch.nn.functional.interpolate(mask[None, None].float(), size=pixels, mode="bilinear", antialias=True)
    return torch.nn.functional.interpolate(small, size=tuple(mask.shape), mode="bilinear")[0, 0].clamp(0, 1)


def _measure(model: FaceModel, photo: TexturedPhoto, image: Tensor, observed: Tensor) -> dict[str, float]:
    """Errors in sRGB levels (0 to 255), and shares of texels, over the skin of the face."""
    areas, grid = face_areas(model), texel_grid(model, TEXTURE)
    view = face_view(model, photo.image, photo.fit, face=areas.face > 0.5, hidden_parts=areas.lashes)
    assert view is not None
    visible, hidden, photographed = _truth(view, grid, photo)
    parts = torch.stack([areas.face, (areas.eyes | areas.mouth).float()], 1)
    drawn = grid.from_verts(parts)
    face = (drawn[..., 0] > 0.5) & (drawn[..., 1] < 0.5)
    seen, behind, turned = face & visible & ~hidden, face & visible & hidden, face & ~visible
    unseen = behind | turned
    flood = photo.image[photo.head & ~photo.occluder].median(0).values.expand_as(image)
    albedo = model.albedo(torch.zeros(1, model.albedo_dim))[0].permute(2, 0, 1)[None]
    mean_albedo = torch.nn.functional.interpolate(albedo, size=(TEXTURE, TEXTURE), mode="bilinear")[0].permute(1, 2, 0)
    unmasked = torch.where(visible[..., None], photographed, flood)
    answers = {"ours": image, "mean albedo": mean_albedo, "mean skin colour": flood, "photo without mask": unmasked}
    figures = {}
    for place, where in (("unseen", unseen), ("behind the occluder", behind), ("seen", seen)):
        for name, answer in answers.items():
            figures[f"error, {place}: {name}"] = _error(answer, photo.texture, where)
    painted = observed > 0.5
    figures["occluder painted on the skin: ours"] = _share(painted, behind)
    figures["occluder painted on the skin: no mask"] = _share(visible, behind)
    figures["seen skin taken from the photo: ours"] = _share(painted, seen)
    return figures


def _truth(view: FaceView, grid: TexelGrid, photo: TexturedPhoto) -> tuple[Tensor, Tensor, Tensor]:
    """Texels in sight (S, S), those of them behind the occluder, and the photo's colour in each (S, S, 3)."""
    towards = -torch.nn.functional.normalize(view.verts_camera, dim=-1)
    cosine = (view.normals * towards).sum(-1, keepdim=True)
    at = grid.from_verts(torch.cat([view.verts_image, cosine], 1))
    where, depth = at[..., :2], at[..., 2]
    nearest = view.sample(torch.where(view.covered, view.depth, 0.0)[..., None], where, "nearest")[..., 0]
    visible = grid.covered & (at[..., 3] > 0.3) & (nearest > depth - 2.0)
    in_photo = (where / view.scale + view.corner).floor().long()
    height, width = photo.occluder.shape
    columns, rows = in_photo[..., 0].clamp(0, width - 1), in_photo[..., 1].clamp(0, height - 1)
    return visible, photo.occluder[rows, columns], view.sample(view.image, where)


def _error(answer: Tensor, truth: Tensor, where: Tensor) -> float:
    """Root mean square difference as displayed, in levels of 255; NaN where there is nothing to compare."""
    if not bool(where.any()):
        return float("nan")
    difference = linear_to_srgb(answer[where].clamp(0, 1)) - linear_to_srgb(truth[where])
    return 255 * float((difference**2).mean().sqrt())


def _share(mask: Tensor, where: Tensor) -> float:
    return float(mask[where].float().mean()) if bool(where.any()) else float("nan")


def _cutouts(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".webp"))


def _read_cutout(path: Path) -> tuple[Tensor, Tensor]:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
        raise SystemExit(f"{path} must be a picture with an alpha channel")
    scale = 256 / max(picture.shape[:2])
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rows, columns = (np.flatnonzero((picture[..., 3] > 8).any(axis)) for axis in (1, 0))
    picture = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return srgb_to_linear(torch.from_numpy(picture[..., 2::-1].copy())), torch.from_numpy(
        picture[..., 3] / 255.0
    ).float()


def _tile(picture: Tensor, side: int = 256) -> np.ndarray:
    display = (linear_to_srgb(picture.clamp(0, 1)).numpy() * 255).astype(np.uint8)
    return cv2.resize(display, (side, side), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
