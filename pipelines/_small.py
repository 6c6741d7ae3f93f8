"""A small case that every network can learn by heart, and networks of an eighth of the width."""

from pathlib import Path

import numpy as np

import medseg


def draw_balls(folder: Path, ndim: int, side: int = 160) -> Path:
    """Write a data set of one case of two balls, or in 2D of two discs; return its folder.

    The discs are large, 0.4 of a side across, as some networks see the image at a stride of 32.
    """
    place = np.indices((side, side, 1) if ndim == 2 else (24, 24, 24))[:ndim]
    away = [np.linalg.norm(place / place.max() - middle, axis=0) for middle in (0.28, 0.72)]
    labels = np.select([away[0] < 0.2, away[1] < 0.2], [1, 2])
    image = medseg.Image.from_array(np.random.default_rng(0).normal(labels, 0.2))
    medseg.write(image, folder / "images" / "balls.nii.gz")
    medseg.write(medseg.Labels(labels, image.grid), folder / "labels" / "balls.nii.gz")
    return folder


def narrow(plan: medseg.Plan) -> dict[str, object]:
    """Return settings for an eighth of the width; none for a network of MONAI."""
    fields = plan.network.small()
    if not fields and hasattr(plan.network, "features"):
        fields = {"features": [width // 8 for width in plan.network.features]}
    return {f"network.{key}": value for key, value in fields.items()}
