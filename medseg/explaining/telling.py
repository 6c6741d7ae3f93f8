"""The page that lists what was found out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import medseg
from medseg.explaining.questions import PARTS
from medseg.explaining.study import Finding, Study
from medseg.io import replace_file
from medseg.page import page, paragraph, section, table

_TITLES = {
    "filters": "First filters",
    "activations": "Activation maps",
    "grad-cam": "Grad-CAM",
    "integrated-gradients": "Integrated gradients",
    "occlusion": "Occlusion sensitivity",
    "modalities": "Importance of each channel",
    "maximised": "Activation maximisation",
    "patches": "Maximally activating patches",
}


def write_index(study: Study, findings: Sequence[Finding], score: float) -> Path:
    """Write `index.html`, which shows the pictures beside it."""
    scene = study.scene
    title = f"What the network sees of {scene.name}"
    overview = _picture(study.folder / "overview.png", "Where the region is, and the window")
    sections = [section("The region", paragraph(_where(study, score)), overview)]
    sections += [_section(finding) for finding in findings]
    sections.append(_layers(study))
    index = study.folder / "index.html"
    replace_file(index, page(title, sections))
    return index


def _where(study: Study, score: float) -> str:
    scene, window = study.scene, study.scene.window
    inside, all_of_it = int(scene.score.region.sum()), int((scene.region.array != 0).sum())
    reach = [side + 2 * m for side, m in zip(window.tile, window.margin, strict=True)]
    words = (
        f"The network {type(scene.model.plan.network).__name__} finds {all_of_it} voxels of "
        f"{scene.name} in the image. What follows is about one window, where most of them are: "
        f"{_times(window.tile)} voxels of {_mm(scene.place.box.spacing)} mm, with {inside} voxels "
        f"of {scene.name}, whose mean probability is {score:.4f}. All of it was computed in "
        "float32, without averaging over tiles or mirror images."
    )
    if any(window.margin):
        words += f" The network sees {_times(reach)} voxels for it."
    return words


def _section(finding: Finding) -> str:
    heading = _TITLES[finding.part]
    if finding.left_out:
        return section(heading, paragraph(f"Left out: {finding.left_out}.", "warning"))
    parts = [paragraph(words) for words in finding.words]
    if finding.rows:
        caption = PARTS[finding.part].capitalize()
        words = len(finding.heads) if finding.part == "patches" else 2
        parts.append(table(caption, finding.heads, finding.rows, words=words))
    parts += [_picture(path, f"{heading}: {path.stem}") for path in finding.pictures]
    if finding.volumes:
        parts.append(paragraph(f"Volumes: {', '.join(path.name for path in finding.volumes)}."))
    return section(heading, *parts)


def _picture(path: Path, words: str) -> str:
    name, alt = escape(path.name, quote=True), escape(words, quote=True)
    return f'<figure><a href="{name}"><img src="{name}" alt="{alt}"></a></figure>'


def _layers(study: Study) -> str:
    rows = [
        [layer.name, layer.kind, str(layer.features), _times(layer.size)] for layer in study.layers
    ]
    words = f"Any of them can be looked into: --layer NAME. Made by medseg {medseg.__version__}."
    heads = ["layer", "kind", "features", "voxels"]
    return section("All layers", paragraph(words), table("As they are run", heads, rows, words=2))


def _times(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))


def _mm(spacing: Sequence[float]) -> str:
    return " x ".join(f"{mm:g}" for mm in spacing)
