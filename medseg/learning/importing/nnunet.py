"""A network that nnU-Net has trained, as a run of medseg."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from medseg import strict_json
from medseg.learning.importing.checkpoint import load_checkpoint
from medseg.learning.importing.plans import axes_of, configuration_of, plan_of
from medseg.learning.importing.weights import renamed
from medseg.learning.memory import build_network
from medseg.learning.run import Run
from medseg.learning.weights import put_weights, save_tensors

log = logging.getLogger(__name__)


def import_nnunet(  # noqa: PLR0913 - where it is, and what of it
    folder: str | Path,
    output: str | Path,
    *,
    folds: Sequence[str] = (),
    checkpoint: str = "checkpoint_final.pth",
    orientation: str = "",
    previous: str | Path = "",
    overwrite: bool = False,
) -> list[Path]:
    """Make a run of each fold of a network that nnU-Net 2 has trained.

    The runs predict the labels that nnU-Net itself predicts, and as it does, by the mean over
    mirrored tiles.

    Parameters
    ----------
    folder : path
        That of a trainer and a configuration, with plans.json, dataset.json and fold_0, ...
    output : path
        The run; of several folds, a folder with a run for each, fold_0, ...
    folds : sequence of str
        "0" to "4", or "all"; by default those that are there.
    checkpoint : str
        File name in the folder of a fold.
    orientation : str
        That of the images with which it was trained, as LPS; images that are stored in another
        one are then turned. By default nnU-Net's own rule, which looks at no orientation unless
        its reader does.
    previous : path
        Of the second stage of a cascade, the folder of the first, all folds of which it then
        goes by; by default, the one of the same trainer and plans beside it.
    overwrite : bool
        Replace runs that exist.

    Returns
    -------
    list of Path
        Folders of the runs.

    References
    ----------
    F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical
    image segmentation", Nature Methods, 2021. doi:10.1038/s41592-020-01008-z

    Raises
    ------
    FileNotFoundError, FileExistsError
        If a file or a fold is missing, or a run exists.
    ValueError
        If the files are damaged, hold anything but numbers, or ask for what medseg does not have.
    """
    source = Path(folder)
    sources = _folds(source, folds, checkpoint)
    several = len(sources) > 1
    runs = [Run(Path(output) / path.name if several else Path(output)) for path in sources]
    if existing := [run.folder for run in runs if run.plan.exists() and not overwrite]:
        raise FileExistsError(f"{existing[0]} holds a run already; replace it with --overwrite")
    plans, dataset = (_read(source / name) for name in ("plans.json", "dataset.json"))
    for path, run in zip(sources, runs, strict=True):
        _import_fold(path / checkpoint, run, plans, dataset, orientation, previous)
    return [run.folder for run in runs]


def _folds(folder: Path, folds: Sequence[str], checkpoint: str) -> list[Path]:
    """Folders of the folds that are wanted."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist; expected a folder of nnU-Net's results")
    if not (folder / "plans.json").is_file():
        inside = sorted(str(path.parent) for path in folder.glob("*/plans.json"))
        hint = f"; did you mean {', '.join(inside)}?" if inside else ""
        raise FileNotFoundError(f"{folder} has no plans.json{hint}")
    there = sorted(path.parent.name for path in folder.glob(f"fold_*/{checkpoint}"))
    wanted = [f"fold_{fold}" for fold in folds] or there
    missing = [name for name in wanted if name not in there]
    if missing or not wanted:
        what = f"no {checkpoint} in {', '.join(missing) or 'any fold'}"
        raise FileNotFoundError(f"{folder} has {what}; there are {', '.join(there) or 'none'}")
    return [folder / name for name in wanted]


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; nnU-Net writes it beside the folds")
    content = strict_json.read(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no JSON object")
    return content


def _import_fold(
    path: Path,
    run: Run,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    orientation: str,
    previous: str | Path,
) -> None:
    trained = load_checkpoint(path)
    try:
        settings = configuration_of(plans, trained.configuration)
        plan = plan_of(plans, dataset, settings, trained.mirroring, orientation)
        network = build_network(plan, torch.device("cpu"))
        put_weights(renamed(trained.weights, axes_of(plans, settings).order), network)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} can't be imported: {why}") from error
    run.folder.mkdir(parents=True, exist_ok=True)
    run.clear()
    if plan.earlier:
        first = previous or _stage_beside(path.parent.parent, settings["previous_stage"])
        import_nnunet(first, run.earlier, checkpoint=path.name, orientation=orientation)
    save_tensors(network.state_dict(), run.last, {})
    plan.save(run.plan)
    log.info("%s: imported %s", run.folder, path)


def _stage_beside(folder: Path, configuration: str) -> Path:
    """Folder of another configuration of the same trainer and plans."""
    return folder.with_name(f"{folder.name.rpartition('__')[0]}__{configuration}")
