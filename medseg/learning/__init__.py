"""Train networks and segment with them."""

from typing import Any

from medseg.registry import Registry

LOSSES: Registry[Any] = Registry(
    "loss",
    {
        "cross-entropy": ("medseg.learning.losses.entropy:cross_entropy", "mean of -log p(label)"),
        "weighted-cross-entropy": (
            "medseg.learning.losses.entropy:weighted_cross_entropy",
            "the same for each class of the batch, however rare",
        ),
        "focal": ("medseg.learning.losses.entropy:focal", "focal loss, for rare classes"),
        "dice": (
            "medseg.learning.losses.overlap:soft_dice",
            "1 - soft Dice of the foreground, linear",
        ),
        "squared-dice": (
            "medseg.learning.losses.overlap:squared_dice",
            "V-Net's soft Dice, squared",
        ),
        "dice+cross-entropy": ("medseg.learning.losses.overlap:dice_cross_entropy", "their sum"),
        "squared-dice+cross-entropy": (
            "medseg.learning.losses.overlap:squared_dice_cross_entropy",
            "their sum",
        ),
        "generalised-dice": (
            "medseg.learning.losses.overlap:generalised_dice",
            "one soft Dice of all classes, the rare ones weighing more",
        ),
        "iou": (
            "medseg.learning.losses.overlap:iou",
            "1 - soft intersection over union of the foreground",
        ),
        "tversky": (
            "medseg.learning.losses.overlap:tversky",
            "Tversky loss, alpha 0.3, beta 0.7",
        ),
        "boundary": (
            "medseg.learning.losses.borders:boundary",
            "errors times the distance to the true border; to go on from other losses",
        ),
        "hausdorff": (
            "medseg.learning.losses.borders:hausdorff",
            "squared errors times squared distances to both borders; likewise",
        ),
        "dice+boundary": (
            "medseg.learning.losses.borders:dice_boundary",
            "their sum, equal parts in every batch",
        ),
        "dice+hausdorff": (
            "medseg.learning.losses.borders:dice_hausdorff",
            "their sum, equal parts in every batch",
        ),
    },
)

AUGMENTATIONS: Registry[Any] = Registry(
    "augmentation",
    {
        "rotation": ("medseg.learning.placing:rotation", "up to 20 degrees about each axis"),
        "scaling": ("medseg.learning.placing:scaling", "by 0.8 to 1.25"),
        "mirroring": ("medseg.learning.placing:mirroring", "along the axes that the plan allows"),
        "elastic": ("medseg.learning.placing:elastic", "smooth deformation of some mm"),
        "elastic-2015": (
            "medseg.learning.deforming:elastic_2015",
            "at 3 knots a side, by some 10 pixels; the first U-Net's",
        ),
        "b-spline": (
            "medseg.learning.deforming:b_spline",
            "smooth deformation of some voxels; V-Net's",
        ),
        "brightness": ("medseg.learning.augment:brightness", "a constant added"),
        "contrast": ("medseg.learning.augment:contrast", "deviations from the mean times a factor"),
        "gamma": (
            "medseg.learning.augment:gamma",
            "a power of the intensity, mean and spread kept",
        ),
        "shift-and-scale": (
            "medseg.learning.augment:shift_and_scale",
            "each channel, by a little, in all samples; DeepMedic's",
        ),
        "noise": ("medseg.learning.augment:noise", "Gaussian noise"),
        "blur": ("medseg.learning.augment:blur", "Gaussian blur"),
        "low-resolution": ("medseg.learning.augment:low_resolution", "down and up again"),
        "histogram-matching": (
            "medseg.learning.augment:histogram_matching",
            "to another sample of the batch; V-Net's",
        ),
    },
)

OPTIMIZERS: Registry[Any] = Registry(
    "optimizer",
    {
        "adamw": ("medseg.learning.optimizers:adamw", "Adam with decoupled weight decay"),
        "adam": ("medseg.learning.optimizers:adam", "Adam"),
        "sgd": ("medseg.learning.optimizers:sgd", "gradient descent with Nesterov's momentum"),
        "heavy-ball": ("medseg.learning.optimizers:heavy_ball", "gradient descent with momentum"),
        "rmsprop": ("medseg.learning.optimizers:rmsprop", "DeepMedic's, with Nesterov's momentum"),
    },
)

SCHEDULES: Registry[Any] = Registry(
    "schedule",
    {
        "poly": ("medseg.learning.schedules:poly", "down to 0 as (1 - share) ** 0.9"),
        "halving": ("medseg.learning.schedules:halving", "halved at given shares of the budget"),
        "constant": ("medseg.learning.schedules:constant", "the same from beginning to end"),
    },
)

VOXEL_WEIGHTS: Registry[Any] = Registry(
    "weighting of voxels",
    {
        "unet-2015": (
            "medseg.learning.voxel_weights:balance_and_gaps",
            "all classes alike, and gaps between two objects more",
        ),
    },
)
"""Functions (classes, spacing) -> weights in the loss, of volumes or slices as the network's."""

RECIPES: Registry[Any] = Registry(
    "recipe",
    {
        "deepmedic": ("medseg.learning.recipes:DEEPMEDIC", "as DeepMedic is trained, 70,000 steps"),
        "unet-2015": (
            "medseg.learning.recipes:UNET_2015",
            "as the first U-Net was trained: gaps weigh more, elastic deformation, 10 hours",
        ),
        "vnet": (
            "medseg.learning.recipes:VNET",
            "as V-Net was trained: squared Dice, splines, matched histograms, 30,000 steps",
        ),
    },
)

VARIANTS: Registry[Any] = Registry(
    "kind of variants",
    {
        "augmented": (
            "medseg.learning.variants:Augmented",
            "the image mirrored as the plan allows, and turned by some degrees",
        ),
        "dropout": (
            "medseg.learning.variants:Dropout",
            "the network with its dropout left on, drawn anew for each",
        ),
    },
)
"""Several members of an ensemble made of one trained model."""
