"""`medseg train`: a network from annotated cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medseg.cli.options import (
    Device,
    Overwrite,
    Quiet,
    Settings,
    Threads,
    assignments,
    regions_of,
)

if TYPE_CHECKING:
    from medseg.dataset import Dataset
    from medseg.learning.plan import Plan
    from medseg.learning.run import Run

_NAMED = 10
Data = Annotated[Path, typer.Argument(metavar="DATA", help="A data set: a folder or a CSV file.")]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME", help="As a published network was trained."),
]
PresetName = Annotated[
    str,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="How patch and network are chosen: medseg, nnunet, nnunet-resenc-m or -l.",
    ),
]
Start = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="RUN",
        help="Begin with the weights of another run, or with a file of VGG16's.",
    ),
]
After = Annotated[
    str,
    typer.Option(
        "--after",
        metavar="RUNS",
        help="See too what a network at a lower resolution says: a folder of runs, one a fold, "
        "each asked for the cases that it held out. RUN then predicts with both.",
    ),
]
TwoD = Annotated[
    bool, typer.Option("--2d", help="A 2D network, which takes volumes slice by slice.")
]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="NAME=1,2,3",
        help="Learn this region in place of labels; repeatable, those inside others last.",
    ),
]
Ignore = Annotated[
    int | None,
    typer.Option("--ignore", metavar="L", help="Label of voxels that nobody has annotated."),
]
AllowEmpty = Annotated[
    bool, typer.Option("--allow-empty", help="Cases without any label are welcome.")
]


def train(
    data: Data,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder for the model.")],
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="See `medseg methods`; or monai:NAME. By default that of the recipe, or unet.",
        ),
    ] = None,
    recipe: RecipeName = None,
    preset: PresetName = "medseg",
    two_d: TwoD = False,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="A plan of `medseg plan`.")
    ] = None,
    start: Start = "",
    after: After = "",
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="M", help="Wall time of the whole command; that of the recipe, or 10."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Updates, in place of minutes.")
    ] = None,
    fold: Annotated[
        str,
        typer.Option(
            metavar="I/N|all",
            help="Which cases validate: a fold of cross-validation, alike in labels, or none. By "
            "default every fifth.",
        ),
    ] = "",
    region: Regions = None,
    ignore: Ignore = None,
    allow_empty: AllowEmpty = False,
    parameters: Settings = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Train a network on the data set DATA and leave the model in RUN.

    Stopped at any moment, the same command goes on. Settings are fields of the training
    (--set batch=4), of the plan (--set plan.spacing=[1,1,1]) and of the network
    (--set network.features=[16,32]); they come before those of a recipe.
    """
    import medseg
    from medseg.learning import RECIPES
    from medseg.learning.distributed import Processes
    from medseg.learning.presets import MEDSEG
    from medseg.learning.recipes import Recipe
    from medseg.learning.run import Run

    settings = assignments(parameters)
    followed: Recipe = RECIPES.pick(recipe) if recipe else Recipe("unet", medseg.Training())
    of_plan = planned(settings)
    options = {"minutes": minutes, "steps": steps, "device": device}
    options |= {"start": start, "after": after}
    training = followed.trained_with({**options, **settings})
    place = Run(run)
    processes = Processes.of_environment()
    with processes.together(processes.place(device)):
        if overwrite:
            if processes.leads:
                place.clear()
            processes.wait()
        dataset = learnable(data, region, ignore)
        fitting, validating = sides(dataset, fold)
        given = two_d or network is not None or bool(of_plan) or preset != MEDSEG
        given = given or bool(region) or ignore is not None
        if plan is None and place.plan.is_file() and not given:
            plan = place.plan
        if plan is not None:
            if given and plan != place.plan:
                raise ValueError(
                    "--plan says all about the network; leave out --network, --preset, --2d, "
                    "--region, --ignore and --set plan.* or network.*"
                )
            chosen: Plan = medseg.Plan.load(plan)
            replace(dataset, ignore=chosen.ignore).check(allow_empty=allow_empty)
        else:
            ndim = 2 if two_d else None
            validating.check(allow_empty=allow_empty)
            chosen = medseg.make_plan(
                fitting,
                network or (followed.network if recipe else ""),
                ndim=ndim,
                settings={**followed.plan, **of_plan},
                allow_empty=allow_empty,
                preset=preset,
            )
        medseg.train(fitting, chosen, training, run, validation=validating, after_validation=_draw)
    if processes.leads:
        typer.echo(f"The model is in {run}; use it with: medseg predict {run} IMAGES -o FOLDER")


def planned(settings: dict[str, Any]) -> dict[str, Any]:
    """Take the settings of the plan and of the network out of `settings`."""
    keys = [key for key in settings if key.startswith(("plan.", "network."))]
    return {key.removeprefix("plan."): settings.pop(key) for key in keys}


def learnable(data: Path, regions: list[str] | None, ignore: int | None) -> Dataset:
    """Cases with an annotation, the others being named, and what is to be learned of them."""
    import medseg

    whole = medseg.Dataset.read(data)
    dataset = whole.annotated()
    if not dataset.cases:
        raise ValueError(f"{data} has no case with an annotation, so there is nothing to learn")
    kept = {case.name for case in dataset.cases}
    if left_out := [case.name for case in whole.cases if case.name not in kept]:
        typer.echo(
            f"{len(left_out)} of {len(whole)} cases have no annotation and are left out: "
            f"{', '.join(left_out[:_NAMED])}{', ...' if len(left_out) > _NAMED else ''}",
            err=True,
        )
    if ignore is not None:
        dataset = replace(dataset, ignore=ignore)
    return dataset.on_regions(regions_of(regions)) if regions else dataset


def sides(dataset: Dataset, fold: str) -> tuple[Dataset, Dataset]:
    """Training and validation cases; without a fold every fifth validates."""
    if fold == "":
        fitting, validating = dataset.split()
        if not validating.cases:
            typer.echo(
                f"{len(dataset)} cases are too few to hold some out: nothing validates", err=True
            )
        return fitting, validating
    if fold == "all":
        return dataset, type(dataset)(())
    index, slash, count = fold.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise ValueError(f"--fold is i/n, counted from 0, or all; got {fold!r}")
    return dataset.fold(int(index), int(count))


def _draw(run: Run) -> None:
    from medseg.pictures import draw_curve

    draw_curve(run.log, run.curve)
