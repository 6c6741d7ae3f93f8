"""How much of a training is done: by the clock, or by counting steps."""

from __future__ import annotations

import time

# Starting Python and importing torch have taken about so long before the clock starts.
_SECONDS_BEFORE = 3.0
_FIRST_GUESS = 0.03


class Budget:
    """Minutes of wall time, or steps.

    Parameters
    ----------
    minutes : float, optional
    steps : int, optional
        One of the two.
    spent : float
        Seconds of earlier sessions of the same training.
    """

    def __init__(self, minutes: float | None, steps: int | None, spent: float = 0.0) -> None:
        self._seconds = 60 * minutes if minutes is not None else None
        self._steps = steps
        self._began = time.monotonic() - spent - (0 if spent else _SECONDS_BEFORE)
        # The last validation and the writing of files belong to the budget too.
        self._reserve = _FIRST_GUESS * (self._seconds or 0)
        self._share = 0.0

    @property
    def seconds(self) -> float:
        """Wall time so far, over all sessions."""
        return time.monotonic() - self._began

    def reserve(self, seconds: float) -> None:
        """Keep so many seconds for what comes after the last step."""
        self._reserve = seconds

    def share(self, step: int) -> float:
        """Share in [0, 1] of the budget that is spent when `step` steps are done.

        It never falls, and 1 means stop.
        """
        if self._steps is not None:
            return min(step / self._steps, 1.0)
        assert self._seconds is not None
        left = max(self._seconds - self._reserve, 1e-9)
        self._share = max(self._share, min(self.seconds / left, 1.0))
        return self._share
