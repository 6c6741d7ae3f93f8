"""The side of nnU-Net in `augmentation.py`: run by the Python that has nnunetv2, not by medseg's.

_nnunet_augmentation.py FILE SIDE COUNT     seconds of its training transforms, as JSON in FILE
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


def main(file: Path, side: int, count: int) -> None:
    """Augment one patch so many times, its crop oversized as its loader makes it."""
    torch.set_num_threads(1)
    angle = (-np.pi / 6, np.pi / 6)
    patch, axes = (side,) * 3, (0, 1, 2)
    transforms = nnUNetTrainer.get_training_transforms(patch, angle, None, axes, None)
    crop = [int(n) for n in get_patch_size(patch, angle, angle, angle, (0.85, 1.25))]
    image = torch.randn(1, *crop, generator=torch.manual_seed(0))
    labels = torch.zeros(1, *crop, dtype=torch.int16)
    labels[:, side // 2 : side, side // 2 : side, side // 2 : side] = 1
    np.random.seed(0)  # noqa: NPY002
    seconds = []
    for _ in range(count):
        sample = {"image": image.clone(), "segmentation": labels.clone()}
        began = time.process_time()
        transforms(**sample)
        seconds.append(time.process_time() - began)
    file.write_text(json.dumps({"crop": crop, "seconds": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
