"""A bar on a terminal, one line a minute elsewhere, nothing where nobody listens.

The library logs and never prints; whoever wants to see work go by lets the logger
`medseg` pass INFO, as the command line does.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("medseg")
_SECONDS_BETWEEN_LINES = 60


class Progress:
    """How far a piece of work is; `update` may be called as often as one likes."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = time.monotonic()

    def update(self, share: float, note: str = "") -> None:
        """Say that `share` in [0, 1] of the work is done, and what is to be said about it."""
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            log.info("%s: %.0f %%  %s", self._what, 100 * share, note)


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show how far `what` is: a rich bar with the time left on a terminal, else log lines."""
    if not (log.isEnabledFor(logging.INFO) and sys.stderr.isatty()):
        yield Progress(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=1.0, note="")

        class OnBar(Progress):
            def update(self, share: float, note: str = "") -> None:
                bar.update(task, completed=share, note=note)

        yield OnBar(what)
