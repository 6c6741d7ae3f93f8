"""Weights of a VGG16 that was trained on photographs, for networks that begin with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from medseg.networks.vgg import WIDTH

# Where torchvision's vgg16, and its vgg16_bn, have the 13 convolutions.
_PLAIN = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_NORMALISED = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
_DENSE = {"fc6": "classifier.0", "fc7": "classifier.3"}
_FIRST = "stages.0.0.weight"


def put_vgg16(weights: Mapping[str, Tensor], network: nn.Module) -> tuple[str, ...]:
    """Give FCN, SegNet or DeconvNet the convolutions of a VGG16.

    Taken are the 13 convolutions, their batch normalisations where both have such, and the
    first two dense layers where both have those. The network wants 3 channels, red, green and
    blue, for which it was trained; of another number, each gets the sum of the three kernels
    divided by that number, which makes the same of a grey image in all channels.

    Parameters
    ----------
    weights : mapping of str to tensor
        Named as torchvision's vgg16 or vgg16_bn.
    network : module
        Of the published width.

    Returns
    -------
    tuple of str
        Names of the network's parameters that were taken.

    Raises
    ------
    ValueError
        If the network does not begin with VGG16, or the weights are not such.
    """
    if not _begins_with_vgg16(network):
        raise ValueError(
            f"weights of VGG16 are for FCN, SegNet and DeconvNet, got {type(network).__name__}"
        )
    taken = {name: weights[source] for name, source in _sources(weights, network)}
    state = network.state_dict()
    kernels, channels = taken[_FIRST], state[_FIRST].shape[1]
    if kernels.ndim == state[_FIRST].ndim and kernels.shape[1] != channels:
        taken[_FIRST] = kernels.sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels
    for name, values in taken.items():
        # A dense layer is a convolution whose kernel is as large as its input.
        if values.numel() != state[name].numel() or len(values) != len(state[name]):
            raise ValueError(
                f"{name} of VGG16 is {tuple(values.shape)}, the network's "
                f"{tuple(state[name].shape)}; build it with width={WIDTH}"
            )
        if not values.isfinite().all():
            raise ValueError(f"{name} of VGG16 has numbers that are NaN or infinite")
        taken[name] = values.reshape(state[name].shape)
    network.load_state_dict(taken, strict=False)
    return tuple(taken)


def _begins_with_vgg16(network: nn.Module) -> bool:
    stages = getattr(network, "stages", None)
    return isinstance(stages, nn.ModuleList) and len(_PLAIN) == sum(
        isinstance(module, nn.Conv2d) for module in stages.modules()
    )


def _sources(weights: Mapping[str, Tensor], network: nn.Module) -> Iterator[tuple[str, str]]:
    """Names in the network, and in the file, of all that is taken."""
    normalised = f"features.{_NORMALISED[-1]}.weight" in weights
    indices = iter(_NORMALISED if normalised else _PLAIN)
    for name, module in network.named_modules():
        if name.startswith("stages.") and isinstance(module, nn.Conv2d):
            index = next(indices)
            source = f"features.{index}"
        elif name.startswith("stages.") and isinstance(module, nn.BatchNorm2d) and normalised:
            source = f"features.{index + 1}"
        elif name in _DENSE and f"{_DENSE[name]}.weight" in weights:
            source = _DENSE[name]
        else:
            continue
        for part in module.state_dict():
            if part == "num_batches_tracked":
                continue
            if f"{source}.{part}" not in weights:
                raise ValueError(
                    f"weights of VGG16 are named as torchvision's and have {source}.{part}, got "
                    f"{', '.join([*weights][:3]) or 'none'}"
                )
            yield f"{name}.{part}", f"{source}.{part}"
