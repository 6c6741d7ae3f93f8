"""What a network sees of a tumour: a tiny DeepMedic, and what counts for each label it finds.

python pipelines/what_it_sees.py DATA RUN     # as brats_deepmedic.py, whose RUN it takes as it is

RUN/what_it_sees/LABEL/index.html shows filters, activation maps, Grad-CAM, integrated gradients,
occlusion, the importance of each modality, what excites the network most, and the patches of
DATA/train that do.
"""

from pathlib import Path

import typer

import medseg


def main(
    data: Path,
    run: Path,
    network: str = "deepmedic-tiny",
    steps: int = 400,
    blocks: int = 512,
    ascent: int = 64,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train on DATA/train, explain the first case of DATA/validation, label by label."""
    fitting = medseg.Dataset.read(data / "train")
    recipe = medseg.RECIPES["deepmedic"]
    plan = medseg.make_plan(fitting, network, settings=recipe.plan)
    changed = {"steps": steps, "sampler": "foreground", "seed": seed, "device": device}
    model = medseg.train(fitting, plan, recipe.trained_with(changed), run)

    case = medseg.Dataset.read(data / "validation").cases[0]
    image, mask = case.image(), case.mask()
    typer.echo(f"{case.name}, without a channel (its mean everywhere; its voxels permuted)")
    for label in model.segment(image, mask=mask).values():
        asked = medseg.Questions(label=str(label), blocks=blocks, ascent=ascent, seed=seed)
        folder = run / "what_it_sees" / str(label)
        found = medseg.explain(model, image, folder, asked, mask=mask, data=data / "train")
        typer.echo(f"{found.label}: mean probability {found.score:.3f}, see {found.index}")
        for channel, how, score, change, dice in found.of("modalities").rows:
            typer.echo(f"  {channel:8} {how:20} probability {score} ({change})  Dice {dice}")


if __name__ == "__main__":
    typer.run(main)
