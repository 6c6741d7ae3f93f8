"""One network, two ways: window by window, and as a fully convolutional network.

python pipelines/sliding_window_vs_fcn.py SLICE   # SLICE: an EM slice as PNG, 2D

The network classifies the middle of a window of 95 x 95 pixels. Neighbouring windows share
nearly all of what it computes, which the convolutional form computes once.
"""

from pathlib import Path
from time import perf_counter

import numpy as np
import torch
import typer

import medseg

SIDE = 95


def main(image: Path, windows: int = 256, batch: int = 32, seed: int = 0) -> None:
    """Time both ways on a slice, and say how far their answers are apart."""
    config = medseg.NETWORKS["pixel-classifier"]()
    values = medseg.read_image(image).array
    values = (values - values.mean()) / values.std()
    half = SIDE // 2
    around = np.pad(values, ((0, 0), (half, half), (half, half)), mode="reflect")
    torch.manual_seed(seed)
    network = config.build(len(values), 2).eval()
    pixels = np.random.default_rng(seed).integers(values.shape[1:], size=(windows, 2))
    cut = np.stack([around[:, i : i + SIDE, j : j + SIDE] for i, j in pixels])

    with torch.inference_mode():
        begun = perf_counter()
        each = torch.cat([network.windows(part) for part in torch.from_numpy(cut).split(batch)])
        seconds_each = (perf_counter() - begun) / windows * values[0].size
        begun = perf_counter()
        whole = network(torch.from_numpy(around)[None])[0]
        seconds_whole = perf_counter() - begun
    apart = (whole[:, pixels[:, 0], pixels[:, 1]].T - each).abs().max()

    parameters = sum(p.numel() for p in network.parameters())
    sizes = medseg.receptive_field(config).sizes
    typer.echo(f"{parameters} parameters; a pixel sees {sizes[0][0]} x {sizes[1][0]} pixels")
    typer.echo(
        f"window by window {seconds_each:.1f} s (from {windows} of {values[0].size} windows), "
        f"convolutional {seconds_whole:.1f} s: {seconds_each / seconds_whole:.0f} times as fast"
    )
    typer.echo(f"logits differ by {apart:.1e} at most, of {each.abs().max():.1e}")


if __name__ == "__main__":
    typer.run(main)
