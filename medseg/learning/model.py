"""A trained network with all it needs to segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medseg import device as devices
from medseg.learning.earlier import load_earlier
from medseg.learning.framing import Framed, frame, placed
from medseg.learning.inference import inference
from medseg.learning.logits import Logits
from medseg.learning.memory import build_network, require_room_for_patches
from medseg.learning.overlapping import masks_in, require_regions, written
from medseg.learning.passes import Passes
from medseg.learning.plan import Plan
from medseg.learning.preparing import Prepared, prepare
from medseg.learning.regridding import gathered
from medseg.learning.run import Run, Which
from medseg.learning.scaling import Scaling, Use, stored_scaling
from medseg.learning.weights import load_tensors, named_weights, put_weights
from medseg.segmenter import Segmenter, canonical, require_place
from medseg.tiling import first_highest, last_positive
from medseg.volume import Image, Labels, orientation, reorient


@dataclass(frozen=True, eq=False)
class Model:
    """A network and its plan; a `Segmenter` like any other.

    Parameters
    ----------
    network : nn.Module
    plan : Plan
    overlap : float in [0, 1)
        Share of a patch by which neighbouring tiles overlap. Those of a network with a margin
        do not: its logits are the same wherever a tile begins.
    mirrored : tuple of int, optional
        Axes along all choices of which tiles are mirrored, to average what the network says of
        them: 8 passes for three axes. By default those of the plan's conventions.
    precision : str
        Of the network's arithmetic: "float32", "bfloat16", or "auto": bfloat16 where the hardware
        is the faster in it. Logits are averaged and compared in float32 all the same.
    earlier : Segmenter, optional
        The network before this one, whose labels it also sees, if its plan is of such.
    scaling : Scaling, optional
        Of the logits, by which the model was calibrated.
    """

    network: nn.Module
    plan: Plan
    overlap: float = 0.5
    mirrored: tuple[int, ...] | None = None
    precision: str = "auto"
    earlier: Segmenter | None = None
    scaling: Scaling | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap is a share in [0, 1), got {self.overlap}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision is auto, float32 or bfloat16, got {self.precision!r}")
        axes = self.plan.conventions.mirrored if self.mirrored is None else tuple(self.mirrored)
        if len(set(axes)) < len(axes) or not set(axes) <= set(range(len(self.plan.patch))):
            raise ValueError(
                f"mirrored names axes below {len(self.plan.patch)}, each once, got {axes}"
            )
        object.__setattr__(self, "mirrored", axes)
        if self.scaling is not None:
            if self.plan.regions:
                raise ValueError("a scaling is of labels, and the model knows regions")
            self.scaling.require_classes(self.plan.outputs)

    @classmethod
    def untrained(cls, plan: Plan, device: str = "auto") -> Model:
        """Build the network of a plan with random weights."""
        place = devices.resolve(device)
        return cls(build_network(plan, place).to(place), plan)

    @classmethod
    def load(  # noqa: PLR0913 - each is a choice of its own
        cls,
        folder: str | Path,
        device: str = "auto",
        *,
        weights: Which = "auto",
        overlap: float = 0.5,
        mirrored: Sequence[int] | None = None,
        precision: str = "auto",
        scaling: Use = "stored",
    ) -> Model:
        """Load the model that a training run left in `folder`.

        Parameters
        ----------
        weights : str
            "best" on the validation cases, "last" of the training, or "auto": the best, where
            cases were held out for validation, else the last.
        scaling : str
            "stored": as `medseg calibrate` left it beside the weights, if it did; or "none".

        Raises
        ------
        FileNotFoundError
            If there is no such run, or it has no weights yet.
        ValueError
            If its files are damaged or do not belong together.
        """
        run = Run(Path(folder))
        if not run.folder.is_dir():
            raise FileNotFoundError(f"{run.folder} does not exist; expected a run of medseg train")
        file = run.weights_called(weights)
        plan = Plan.load(run.plan)
        with torch.random.fork_rng(devices=[]):  # random weights that are replaced at once
            model = cls.untrained(plan, device)
        require_room_for_patches(plan, 1, model.device)
        tensors, facts = load_tensors(file)
        try:
            put_weights(tensors, model.network)
        except ValueError as error:
            raise ValueError(f"{file} does not fit {run.plan}: {error}") from error
        axes = None if mirrored is None else tuple(mirrored)
        alike = partial(
            cls.load,
            device=device,
            overlap=overlap,
            mirrored=axes,
            precision=precision,
            scaling=scaling,
        )
        earlier = load_earlier(run, alike) if plan.earlier else None
        scaled = stored_scaling(run.folder, scaling, named_weights(file, facts))
        return cls(model.network, plan, overlap, axes, precision, earlier, scaled)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def passes(self) -> Passes:
        """How its network goes over a volume."""
        return Passes(self.network, self.plan, self.overlap, self.mirrored or ())

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Give each voxel its most probable label; 0 outside the mask.

        Of regions, the last one that is more probable than not, as what the plan writes it.
        """
        framed, prepared = self._prepared(image, seeds, mask)
        values = _as_small(self.plan.values)[self.classes(prepared)]
        return placed(values, framed, self.plan.names)

    def masks(self, image: Image, mask: Labels | None = None) -> dict[str, Labels]:
        """Where each region is more probable than not, by name: 1 there, 0 elsewhere.

        Raises
        ------
        ValueError
            If the model knows labels, not regions.
        """
        require_regions(self.plan)
        framed, prepared = self._prepared(image, None, mask)
        found = self.inside(prepared)
        each = zip(self.plan.regions, found.view(np.uint8), strict=True)
        return {name: placed(one, framed, {1: name}) for name, one in each}

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probability of each label, background first, or of each region, on the grid of `image`.

        Outside the mask, background is certain.
        """
        framed, prepared = self._prepared(image, seeds, mask)
        with self._inference():
            array = gathered(self._soft(prepared), prepared.native.shape[0], axis=1)
        around = 0 if self.plan.regions else 1  # regions have no channel of the background
        if framed.mask is not None:
            outside = reorient(framed.mask).array == 0
            array[:, outside] = 0
            array[0, outside] = around
        names, grid = self.plan.outputs_named, framed.image.grid
        turned = Image(array, reorient(framed.image).grid, names)
        return framed.whole(Image(reorient(turned, orientation(grid)).array, grid, names), around)

    def stream(
        self,
        image: Image,
        seeds: Labels | None,
        mask: Labels | None,
        take: Callable[[NDArray[np.float32]], None],
    ) -> None:
        """Hand over what `probabilities` gives without ever holding all of it, where that can be.

        Parameters
        ----------
        image, seeds, mask
            As for `probabilities`. What is handed over outside the mask means nothing.
        take : function of a (classes, rows, ...) array
            Called on all rows of the first axis of the canonical orientation, some at a time and
            in order.
        """
        conventions = self.plan.conventions
        if frame(image, mask, conventions).image is not image:  # it sees a part of it
            return take(canonical(self.probabilities(image, seeds, mask)))
        _, prepared = self._prepared(image, seeds, mask)
        with self._inference():
            for some in self._soft(prepared):
                take(some.float().cpu().numpy())
        return None

    def most_probable(self, probabilities: Image) -> Labels:
        """Labels of what `probabilities` gave; the same as `segment`, but for ties."""
        if self.plan.regions:
            return self.written(self.masks_of(probabilities))
        values = _as_small(self.plan.labels)[probabilities.array.argmax(0)]
        return Labels(values, probabilities.grid, self.plan.names)

    def masks_of(self, probabilities: Image) -> dict[str, Labels]:
        """Masks of what `probabilities` gave; the same as `masks`, but for ties."""
        return masks_in(probabilities, self.plan)

    def written(self, masks: Mapping[str, Labels]) -> Labels:
        """Labels of what `masks` gave, later regions on top; the same as `segment`."""
        return written(masks, self.plan)

    def classes(self, prepared: Prepared) -> NDArray[np.uint8 | np.uint16]:
        """Most probable class at each voxel of the native grid, in canonical orientation.

        Its label is that of `plan.values`.
        """
        choose = last_positive if self.plan.regions else first_highest
        logits, scaling = self._logits(prepared), self.scaling
        with self._inference():
            if scaling is not None and not scaling.keeps_order:
                found = logits.each(lambda some: _chosen(scaling.of_logits(some), choose), axis=0)
            else:
                found = logits.chosen(choose)
        return found.view(np.uint8 if found.dtype == np.uint8 else np.uint16)

    def inside(self, prepared: Prepared) -> NDArray[np.bool_]:
        """(regions, ...) whether each is more probable than not, at each voxel as of `classes`."""
        with self._inference():
            return self._logits(prepared).each(lambda some: some > 0, axis=1)

    def _prepared(
        self, image: Image, seeds: Labels | None, mask: Labels | None
    ) -> tuple[Framed, Prepared]:
        """Return the part of an image that counts, and what the network sees of it."""
        if seeds is not None:
            raise ValueError("a trained model takes no seeds")
        require_place(image, None, mask)
        framed, found = frame(image, mask, self.plan.conventions), None
        if self.plan.earlier and self.earlier is not None:
            found = framed.part(self.earlier.segment(image, mask=mask))
        return framed, prepare(framed.image, self.plan, framed.mask, found)

    def _logits(self, prepared: Prepared) -> Logits:
        return Logits(self.passes, prepared, self.device)

    def _soft(self, prepared: Prepared) -> Iterator[Tensor]:
        """Rows (outputs, rows, ...) of probabilities on the native grid."""
        logits = self._logits(prepared).rows()
        if self.plan.regions:
            return (some.sigmoid() for some in logits)
        scaled = logits if self.scaling is None else map(self.scaling.of_logits, logits)
        return (some.softmax(0) for some in scaled)

    def _inference(self) -> AbstractContextManager[None]:
        return inference(self.network, self.device, self.precision)


def _as_small(labels: Sequence[int]) -> NDArray[np.integer]:
    """Labels in the smallest type that holds them, as a volume of them may be large."""
    return np.array(labels, np.result_type(*map(np.min_scalar_type, labels)))


def _chosen(logits: Tensor, choose: Callable[[Iterator[Tensor], int], Tensor]) -> Tensor:
    return choose(iter(logits), len(logits))
