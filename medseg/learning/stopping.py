"""Stop a training from outside, between two steps: what SLURM does before it takes a node back.

A job script that goes on by itself, asked 2 minutes before its time is over:

    #SBATCH --requeue --time=4:00:00 --signal=TERM@120
    srun medseg train DATA RUN --minutes 1000
    [ $? -eq 75 ] && scontrol requeue $SLURM_JOB_ID
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# "Temporary failure, try again" of the BSDs' sysexits.h.
TRY_AGAIN = 75
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


@contextmanager
def listening() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether SIGTERM or SIGUSR1 has come meanwhile.

    Signals reach the main thread alone; in another one, nothing changes and it says no.
    """
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
