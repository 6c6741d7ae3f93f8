"""A trained network with all it needs to segment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medseg import device as devices
from medseg.learning.framing import frame
from medseg.learning.memory import build_network, memory_errors, require_room_for_patches
from medseg.learning.mirroring import mirrored
from medseg.learning.plan import Plan
from medseg.learning.preparing import Prepared, at_native_size, prepare, thick_slices
from medseg.learning.run import Run
from medseg.learning.weights import load_tensors, put_weights
from medseg.segmenter import in_place_of, require_place
from medseg.tiling import Slab, at_half, centred, most_likely, sweep
from medseg.volume import Image, Labels, orientation, reorient

# Tiles of small patches go through the network together, up to so many voxels.
_BATCH_VOXELS = 2**17


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
    """

    network: nn.Module
    plan: Plan
    overlap: float = 0.5
    mirrored: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap is a share in [0, 1), got {self.overlap}")
        axes = self.plan.conventions.mirrored if self.mirrored is None else tuple(self.mirrored)
        if len(set(axes)) < len(axes) or not set(axes) <= set(range(len(self.plan.patch))):
            raise ValueError(
                f"mirrored names axes below {len(self.plan.patch)}, each once, got {axes}"
            )
        object.__setattr__(self, "mirrored", axes)

    @classmethod
    def untrained(cls, plan: Plan, device: str = "auto") -> Model:
        """Build the network of a plan with random weights."""
        place = devices.resolve(device)
        return cls(build_network(plan, place).to(place), plan)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str = "auto",
        *,
        weights: Literal["best", "last", "auto"] = "auto",
        overlap: float = 0.5,
        mirrored: Sequence[int] | None = None,
    ) -> Model:
        """Load the model that a training run left in `folder`.

        Parameters
        ----------
        weights : str
            "best" on the validation cases, "last" of the training, or "auto": the best, where
            cases were held out for validation, else the last.

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
        places = {"best": (run.best,), "last": (run.last,), "auto": (run.best, run.last)}
        if weights not in places:
            raise ValueError(f"weights are {', '.join(places)}, got {weights!r}")
        found = [path for path in places[weights] if path.is_file()]
        if not found:
            raise FileNotFoundError(
                f"{run.folder} holds no trained model: there is no {places[weights][0].name}; "
                "train one with medseg train"
            )
        plan = Plan.load(run.plan)
        with torch.random.fork_rng(devices=[]):  # random weights that are replaced at once
            model = cls.untrained(plan, device)
        require_room_for_patches(plan, 1, model.device)
        tensors, _ = load_tensors(found[0])
        try:
            put_weights(tensors, model.network)
        except ValueError as error:
            raise ValueError(f"{found[0]} does not fit {run.plan}: {error}") from error
        return cls(model.network, plan, overlap, None if mirrored is None else tuple(mirrored))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Give each voxel its most probable label; 0 outside the mask."""
        self._require(image, seeds, mask)
        framed = frame(image, mask, self.plan.conventions)
        prepared = prepare(framed.image, self.plan, framed.mask)
        values = np.array(self.plan.labels)[self.classes(prepared)]
        if framed.mask is not None:
            values = np.where(reorient(framed.mask).array != 0, values, 0)
        return framed.whole(in_place_of(values, framed.image, self.plan.names))

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probability of each label, background first, on the grid of `image`.

        Outside the mask, background is certain.
        """
        self._require(image, seeds, mask)
        framed = frame(image, mask, self.plan.conventions)
        prepared = prepare(framed.image, self.plan, framed.mask)
        with self._inference():
            parts = [logits.softmax(0).cpu() for logits in self._logits(prepared, exact=True)]
        array = torch.cat(parts, dim=1).numpy()
        if framed.mask is not None:
            outside = reorient(framed.mask).array == 0
            array[:, outside] = 0
            array[0, outside] = 1
        named = (self.plan.names.get(label, f"label {label}") for label in self.plan.labels[1:])
        names = ("background", *named)
        grid = framed.image.grid
        turned = Image(array, reorient(framed.image).grid, names)
        return framed.whole(Image(reorient(turned, orientation(grid)).array, grid, names))

    def most_probable(self, probabilities: Image) -> Labels:
        """Labels of what `probabilities` gave; the same as `segment`, but for ties."""
        values = np.array(self.plan.labels)[probabilities.array.argmax(0)]
        return Labels(values, probabilities.grid, self.plan.names)

    def classes(self, prepared: Prepared) -> NDArray[np.uint8 | np.uint16]:
        """Most probable class at each voxel of the native grid, in canonical orientation."""
        with self._inference():
            logits = self._logits(prepared, exact=False)
            parts = [most_likely(some).cpu() for some in logits]
        found: NDArray = torch.cat(parts).numpy()
        return found.view(np.uint8 if found.dtype == np.uint8 else np.uint16)

    def _require(self, image: Image, seeds: Labels | None, mask: Labels | None) -> None:
        if seeds is not None:
            raise ValueError("a trained model takes no seeds")
        require_place(image, None, mask)

    def _logits(self, prepared: Prepared, *, exact: bool) -> Iterator[Tensor]:
        """Logits of the native grid, some rows at a time; unless `exact`, up to a factor > 0."""
        volume = torch.from_numpy(prepared.image).to(self.device)
        mask = None if prepared.mask is None else torch.from_numpy(prepared.mask).to(self.device)
        slabs = self._sweep(volume, mask)
        if tuple(volume.shape[1:]) != prepared.native.shape:
            thick = thick_slices(prepared.native, self.plan)
            yield from at_native_size(slabs, volume.shape[1], prepared.native.shape, thick)
            return
        for slab in slabs:
            yield slab.logits() if exact else slab.total

    def _sweep(self, volume: Tensor, mask: Tensor | None) -> Iterator[Slab]:
        network, shape = self.plan.network, tuple(volume.shape[1:])
        exact = any(network.margin)
        tile = self._exact_tile(shape) if exact else self._tile(shape)
        seen = zip(network.margin, network.rim, strict=True)
        margin = self._in_volume(tuple(m + rim for m, rim in seen), 0)
        return sweep(
            mirrored(self._forward(), self.mirrored or ()),
            volume,
            tile,
            len(self.plan.labels),
            overlap=0.0 if exact else self.overlap,
            batch=max(_BATCH_VOXELS // prod(tile), 1),
            mask=mask,
            margin=margin if exact else None,
            period=self._in_volume(network.period, 1),
            window=at_half if self.plan.conventions.window == "half" else centred,
        )

    def _tile(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Sides of a tile: the patch, or a volume hardly larger, which then needs one pass."""
        patch, axes = self.plan.patch, self.plan.axes
        whole = tuple(
            max(n, p) if k in axes else p for k, (n, p) in enumerate(zip(shape, patch, strict=True))
        )
        grown = self.plan.conventions.tiles == "grown" and prod(whole) <= 2 * prod(patch)
        return whole if grown else patch

    def _exact_tile(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Sides of the tiles of a network with a margin: legal ones, of which few suffice."""
        network, axes = self.plan.network, self.plan.axes
        largest = network.fitted(network.tile(tuple(self.plan.patch[axis] for axis in axes)))
        if self.plan.conventions.tiles == "patch":
            return self._in_volume(largest, 1)
        needed = []
        for n, side, period in zip((shape[k] for k in axes), largest, network.period, strict=True):
            # As many tiles as those take, on multiples of the period.
            count = max(-(-(n - side) // max(side // period * period, 1)), 0) + 1
            blocks = -(-n // (count * period))
            needed.append(min(n if count == 1 else blocks * period, side))
        return self._in_volume(network.fitted(tuple(map(max, needed, network.period))), 1)

    def _in_volume(self, sides: tuple[int, ...], rest: int) -> tuple[int, ...]:
        """Of the axes of the volume, where those are given that the network sees."""
        along = dict(zip(self.plan.axes, sides, strict=True))
        return tuple(along.get(axis, rest) for axis in range(len(self.plan.patch)))

    def _forward(self) -> Callable[[Tensor], Tensor]:
        """Return the network on tiles with all axes of the volume, the slice axis of 2D too."""
        axes, rim = self.plan.axes, self.plan.network.rim
        network = self.network if not any(rim) else lambda x: _without_rim(self.network(x), rim)
        if len(axes) == len(self.plan.patch):
            return network
        (slices,) = set(range(len(self.plan.patch))) - set(axes)
        return lambda tiles: network(tiles.squeeze(slices + 2)).unsqueeze(slices + 2)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Evaluation mode without gradients, and back: validation must not end training mode."""
        precision = devices.fast_precision(self.device)
        on_gpu = self.device.type == "cuda" and precision != torch.float32
        before = self.network.training
        self.network.eval()
        try:
            with (
                memory_errors(),
                torch.inference_mode(),
                torch.autocast(self.device.type, precision if on_gpu else None, enabled=on_gpu),
            ):
                yield
        finally:
            self.network.train(before)


def _without_rim(logits: Tensor, rim: tuple[int, ...]) -> Tensor:
    for axis, width in enumerate(rim, start=2):
        logits = logits.narrow(axis, width, logits.shape[axis] - 2 * width)
    return logits
