"""How published networks were trained, as data; `medseg.learning.RECIPES` lists the recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from medseg.learning.settings import Training
from medseg.registry import build


@dataclass(frozen=True)
class Recipe:
    """A network, and how it is trained.

    Parameters
    ----------
    network : str
        Name of the network that it is for; it may train others.
    training : Training
    plan : mapping
        Settings for `make_plan`.
    """

    network: str
    training: Training
    plan: Mapping[str, Any] = field(default_factory=dict)

    def trained_with(self, changes: Mapping[str, Any]) -> Training:
        """Return the training with other settings; a budget takes the place of its own.

        Raises
        ------
        ValueError
            If a training has no such setting, or refuses it.
        """
        fields = asdict(self.training)
        if {"minutes", "steps"} & {key for key, value in changes.items() if value is not None}:
            fields |= {"minutes": None, "steps": None}
        given = {key: value for key, value in changes.items() if value is not None}
        return build(Training, fields | given, "a training")


# K. Kamnitsas et al., doi:10.1016/j.media.2016.10.004, with the settings of v0.8.4: 35 epochs of
# 20 times 100 updates, each class as often as any other. The share of the halvings is that of the
# epochs after which they come.
DEEPMEDIC = Recipe(
    "deepmedic",
    Training(
        steps=70_000,
        batch=10,
        optimizer="rmsprop",
        learning_rate=1e-3,
        momentum=0.6,
        l1=1e-6,
        l2=1e-4,
        longest_gradient=0,
        warm_up=0,
        schedule="halving",
        halvings=tuple(epoch / 35 for epoch in (17, 22, 27, 30, 33)),
        loss="cross-entropy",
        sampler="balanced",
        augmentations=("mirroring", "shift-and-scale"),
    ),
    {"mirror": (0,)},
)

# O. Ronneberger et al., doi:10.1007/978-3-319-24574-4_28: one large tile a step, and 10 hours on a
# GPU. The paper names no learning rate.
UNET_2015 = Recipe(
    "unet-2015",
    Training(
        minutes=600,
        batch=1,
        optimizer="heavy-ball",
        learning_rate=1e-3,
        momentum=0.99,
        longest_gradient=0,
        warm_up=0,
        schedule="constant",
        loss="cross-entropy",
        sampler="uniform",
        voxel_weights="unet-2015",
        augmentations=("rotation", "elastic-2015", "brightness", "contrast"),
    ),
)

# F. Milletari et al., doi:10.1109/3DV.2016.79, and the weight decay of the authors' code. After
# 25,000 of 30,000 steps they take a tenth of the rate, here an eighth: three halvings at once.
VNET = Recipe(
    "vnet",
    Training(
        steps=30_000,
        batch=2,
        optimizer="heavy-ball",
        learning_rate=1e-4,
        momentum=0.99,
        l2=2.5e-4,
        longest_gradient=0,
        warm_up=0,
        schedule="halving",
        halvings=(25 / 30,) * 3,
        loss="squared-dice",
        sampler="uniform",
        augmentations=("b-spline", "histogram-matching"),
    ),
)
