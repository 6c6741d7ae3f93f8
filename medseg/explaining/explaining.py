"""Look inside a trained network: pictures, maps and a page that lists them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from medseg.dataset import Case, find_cases
from medseg.explaining.features import activations, filters, maximal, patches
from medseg.explaining.maps import grad_cams, gradients, modalities, occlusions
from medseg.explaining.questions import Questions
from medseg.explaining.scene import look_at
from medseg.explaining.still import still
from medseg.explaining.study import Finding, LeftOutError, Study
from medseg.explaining.telling import write_index
from medseg.io import PathLike
from medseg.learning.model import Model
from medseg.pictures import draw_overlay
from medseg.progress import progress
from medseg.volume import Image, Labels

log = logging.getLogger("medseg")
_PLAIN = Questions()
_WAYS: dict[str, Callable[[Study], Finding]] = {
    "filters": filters,
    "activations": activations,
    "grad-cam": grad_cams,
    "integrated-gradients": gradients,
    "occlusion": occlusions,
    "modalities": modalities,
    "maximised": maximal,
}


@dataclass(frozen=True, eq=False)
class Explanation:
    """What was found out about a region.

    Parameters
    ----------
    label : str
        What the region is.
    score : float
        Mean probability of the label over the region, in the window.
    findings : tuple of Finding
    index : Path
        The page that shows all of it.
    """

    label: str
    score: float
    findings: tuple[Finding, ...]
    index: Path

    def of(self, part: str) -> Finding:
        """What one of the parts has shown.

        Raises
        ------
        ValueError
            If it was not asked for.
        """
        known = {finding.part: finding for finding in self.findings}
        if part not in known:
            raise ValueError(f"{part!r} was not asked for; there are {', '.join(known)}")
        return known[part]


def explain(
    model: Model,
    image: Image,
    folder: PathLike,
    asked: Questions = _PLAIN,
    *,
    mask: Labels | None = None,
    data: PathLike | Sequence[PathLike] | None = None,
) -> Explanation:
    """Make pictures of what a network sees in an image, and of what it has learnt.

    The image is segmented, and the region of a label is explained in a window: as much as the
    network sees at once, where most of the region is. All is computed in float32, without
    mirroring; the network is left as it was.

    Parameters
    ----------
    model : Model
    image : Image
    folder : path
        Gets PNG pictures, maps as NIfTI in the geometry of the image, and `index.html`.
    asked : Questions
    mask : Labels, optional
        As for `model.segment`.
    data : path or sequence of paths, optional
        A data set, or images, for the patches that excite a layer most.

    Raises
    ------
    ValueError
        If the model does not take the image, there is no such layer or label, or the label is
        not found in the image.
    """
    place = Path(folder)
    cases = [] if data is None else list(find_cases(data, len(model.plan.channels)))
    with still(model.network):
        study = Study(look_at(model, image, mask, asked.label), asked, place)
        study.chosen  # noqa: B018 - a layer that there is not is refused before any work
        draw_overlay(image, study.plain_region(), place / "overview.png", title=study.scene.name)
        with torch.no_grad():
            score = float(study.scene.score(study.scene.volume[None]))
        findings = []
        with progress("explaining") as shown:
            for done, part in enumerate(asked.parts):
                shown.update(done / len(asked.parts), part)
                findings.append(_found(part, study, cases))
    index = write_index(study, findings, score)
    return Explanation(study.scene.name, score, tuple(findings), index)


def _found(part: str, study: Study, cases: Sequence[Case]) -> Finding:
    try:
        return patches(study, cases) if part == "patches" else _WAYS[part](study)
    except LeftOutError as reason:
        log.warning("%s is left out: %s", part, reason)
        return Finding(part, left_out=str(reason))
