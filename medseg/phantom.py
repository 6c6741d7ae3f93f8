"""A drawn cohort to try things on: small heads in two MR channels, each with one lesion.

The rim of the lesion is bright on FLAIR, but so is the skin, on both channels; its core looks
like fluid on T1 and like white matter on FLAIR, but so does the wall of a ventricle, which is
a mixture of the two. So no threshold finds it, and a small network does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.io import replace_file, write
from medseg.volume import Grid, Image, Labels, reorient

CHANNELS = ("T1", "FLAIR")
NAMES = {1: "lesion"}
SHAPE = (64, 72, 32)
_SPACING = (1.5, 1.5, 3.0)
_ORIENTATIONS = ("RAS", "LPS", "LAS", "PSR", "AIL", "SRA")

# Intensity on T1 and on FLAIR, before the scanner gives them its gain.
_SKIN = (0.5, 0.8)
_SKULL = (0.12, 0.1)
_FLUID = (0.2, 0.12)
_GREY = (0.45, 0.55)
_WHITE = (0.65, 0.45)
_CORE = (0.24, 0.44)

_Floats = NDArray[np.float32]


def draw_case(seed: int, shape: tuple[int, int, int] = SHAPE) -> tuple[Image, Labels]:
    """Head with a lesion, and where the lesion is.

    Place, size and contrast of the lesion, the shape of the head, the bias field, the noise,
    the gain of the scanner, the tilt and the spacing (about 1.5 x 1.5 x 3 mm at the default
    shape) vary with the seed. Both volumes are stored near RAS+; `draw_cohort` turns them.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each axis. The head fills the volume, so fewer voxels are larger ones.
    """
    rng = np.random.default_rng(seed)
    grid = _grid(rng, shape)
    place = _place(rng, shape)
    head, tissue = _head(rng, place)
    ill, lesion = _with_lesion(rng, head, place, tissue)
    return Image(_scanned(rng, ill), grid, CHANNELS), Labels(lesion, grid, NAMES)


def draw_cohort(
    folder: str | Path, cases: int = 12, seed: int = 0, shape: tuple[int, int, int] = SHAPE
) -> Path:
    """Write a data set in the layout of the Medical Segmentation Decathlon; return its folder.

    The files are stored in six orientations. More cases of the same seed begin with the same.
    """
    if cases < 1:
        raise ValueError(f"a cohort has at least one case, got {cases}")
    root = Path(folder)
    training = []
    seeds = np.random.default_rng(seed).integers(2**31, size=cases)
    for index, case_seed in enumerate(seeds):
        image, labels = draw_case(int(case_seed), shape)
        code = _ORIENTATIONS[index % len(_ORIENTATIONS)]
        name = f"phantom_{index + 1:03d}.nii.gz"
        write(reorient(image, code), root / "imagesTr" / name)
        write(reorient(labels, code), root / "labelsTr" / name)
        training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    replace_file(root / "dataset.json", json.dumps(_description(training), indent=2) + "\n")
    return root


def _description(training: list[dict[str, str]]) -> dict[str, object]:
    return {
        "name": "phantom",
        "description": "drawn heads with a lesion",
        "tensorImageSize": "4D",
        "modality": {str(index): name for index, name in enumerate(CHANNELS)},
        "labels": {"0": "background", **{str(label): name for label, name in NAMES.items()}},
        "numTraining": len(training),
        "numTest": 0,
        "training": training,
        "test": [],
    }


def _grid(rng: np.random.Generator, shape: tuple[int, int, int]) -> Grid:
    spacing = np.array(_SPACING) * SHAPE / shape * rng.uniform(0.92, 1.08, 3)
    # Slices are seldom straight: they are tilted about the left-right axis, in radians.
    angle = rng.uniform(-0.2, 0.2)
    tilt = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    affine = np.eye(4)
    affine[:3, :3] = tilt * spacing
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def _place(rng: np.random.Generator, shape: tuple[int, int, int]) -> _Floats:
    """Where each voxel is in the head, (3, *shape): from -1 to 1 along each half axis, bent."""
    axes = [np.linspace(-1.1, 1.1, size, dtype=np.float32) for size in shape]
    straight = np.stack(np.meshgrid(*axes, indexing="ij"))
    bent = np.stack([_waves(rng, shape, 3) for _ in range(3)])
    stretch = rng.uniform(0.94, 1.06, 3).reshape(3, 1, 1, 1).astype(np.float32)
    return (straight * stretch + 0.03 * bent).astype(np.float32)


def _waves(rng: np.random.Generator, shape: tuple[int, int, int], count: int) -> _Floats:
    """Smooth random field of mean 0 and deviation 1, made of `count` cosines along each axis."""
    weights = rng.normal(size=(count, count, count))
    weights[0, 0, 0] = 0
    along = [
        np.cos(np.pi * np.outer(np.arange(count), (np.arange(size) + 0.5) / size)) for size in shape
    ]
    field: NDArray[np.float64] = np.einsum("abc,ai,bj,ck->ijk", weights, *along, optimize=True)
    return np.asarray(field / field.std(), np.float32)


def _head(rng: np.random.Generator, place: _Floats) -> tuple[_Floats, NDArray[np.bool_]]:
    """Picture (2, ...) of skin, skull, fluid, grey and white matter; where a lesion may be."""
    shape = place.shape[1:]
    radius = np.linalg.norm(place, axis=0).astype(np.float32)
    turns = [np.sin(12 * axis + 1.5 * _waves(rng, shape, 4)) for axis in place]
    folds = 0.07 * (turns[0] * turns[1] + turns[1] * turns[2])
    size = rng.uniform(0.8, 1.25)
    ventricles = _pair(place, (0.13, 0.05, 0.1), (0.08 * size, 0.34 * size, 0.2 * size))
    nuclei = _pair(place, (0.3, 0.05, -0.1), (0.12, 0.2, 0.2))
    cleft = np.maximum(np.maximum(np.abs(place[0]) - 0.02, 0.5 - radius), radius - 0.83)
    layers = [
        (radius - 1.0, _SKIN),
        (radius - 0.93, _SKULL),
        (radius - 0.88, _FLUID),
        (radius - 0.83 + 0.3 * folds, _GREY),
        (radius - 0.7 + folds, _WHITE),
        (cleft, _FLUID),
        (nuclei, _GREY),
        (ventricles, _FLUID),
    ]
    picture = np.zeros((len(CHANNELS), *shape), np.float32)
    for distance, intensities in layers:
        picture = _painted(picture, distance, intensities)
    return picture, (radius < 0.78) & (ventricles > 0.02)


def _with_lesion(
    rng: np.random.Generator, picture: _Floats, place: _Floats, tissue: NDArray[np.bool_]
) -> tuple[_Floats, NDArray[np.uint8]]:
    """Picture with a lesion around some voxel of the tissue, and where the lesion is."""
    centre = place[:, *rng.choice(np.argwhere(tissue))].tolist()
    radius = rng.uniform(0.18, 0.34)
    aspect = rng.uniform(0.75, 1.3, 3)
    bumps = np.float32(0.2 * radius) * _waves(rng, picture.shape[1:], 6)
    rim = _ellipsoid(place, centre, (radius * aspect).tolist()) + bumps
    rim[~tissue] = np.inf
    core = rim + np.float32(rng.uniform(0.4, 0.7) * radius)
    ill = _painted(picture, rim, (rng.uniform(0.4, 0.5), rng.uniform(0.7, 0.9)))
    return _painted(ill, core, _CORE), (rim < 0).astype(np.uint8)


def _pair(place: _Floats, centre: Sequence[float], half_axes: Sequence[float]) -> _Floats:
    """About how far each voxel is from an ellipsoid or from its mirror image."""
    x, y, z = centre
    left, right = (_ellipsoid(place, (side * x, y, z), half_axes) for side in (-1, 1))
    return np.minimum(left, right)


def _ellipsoid(place: _Floats, centre: Sequence[float], half_axes: Sequence[float]) -> _Floats:
    """About how far each voxel is from an ellipsoid, negative inside."""
    middle, halves = (np.asarray(x, np.float32).reshape(3, 1, 1, 1) for x in (centre, half_axes))
    distance: _Floats = np.linalg.norm((place - middle) / halves, axis=0) - 1
    return distance * np.float32(min(half_axes))


def _painted(picture: _Floats, distance: _Floats, intensities: tuple[float, float]) -> _Floats:
    """Picture filled where `distance` is negative; border voxels are a mixture, as in a scan."""
    share = np.clip(0.5 - distance / 0.04, 0, 1)
    wanted = np.array(intensities, np.float32).reshape(2, 1, 1, 1)
    painted: _Floats = (picture + share * (wanted - picture)).astype(np.float32)
    return painted


def _scanned(rng: np.random.Generator, picture: _Floats) -> _Floats:
    """Give the picture a bias field, noise and the arbitrary unit of an MR scan, by channel."""
    channels = []
    for channel in picture:
        biased = channel * np.exp(0.1 * _waves(rng, channel.shape, 3))
        real, imaginary = rng.normal(0, rng.uniform(0.04, 0.06), (2, *channel.shape))
        channels.append(rng.uniform(300, 900) * np.hypot(biased + real, imaginary))
    return np.stack(channels).astype(np.float32)
