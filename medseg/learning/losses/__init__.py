"""What training makes small; `medseg.learning.LOSSES` lists the choices.

A loss takes logits (B, classes, ...), a target (B, ...) of class indices and, if voxels do not
all count the same, their weights (B, ...), 0 or more. A voxel of weight 0 is ignored: its
logits get no gradient, and its label may be anything.
"""

from medseg.learning.losses.supervision import Loss, in_mm, supervised

__all__ = ["Loss", "in_mm", "supervised"]
