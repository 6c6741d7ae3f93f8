"""How volumes are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

# Ending of the picture that lies beside a segmentation.
PREVIEW = "_preview.png"
Convention = Literal["radiological", "neurological"]


@dataclass(frozen=True)
class View:
    """How volumes are shown.

    Parameters
    ----------
    channel : int, optional
        Which channel is seen. By default the first; three channels in 2D are taken as colours.
    convention : str
        "radiological": the patient's right is on the left of the picture; "neurological": it is
        on the right.
    window : (float, float), optional
        Intensities that become black and white. By default 0.5 % of the voxels that are seen
        are darker and 0.5 % are brighter, padding left out; of a CT, -200 to 300 HU.
    """

    channel: int | None = None
    convention: Convention = "radiological"
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.convention not in get_args(Convention):
            raise ValueError(
                f"the convention is {' or '.join(get_args(Convention))}, got {self.convention!r}"
            )
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"a window goes from a lower value to a higher, got {self.window}")
