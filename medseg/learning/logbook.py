"""What a training tells of itself: JSON, one object a line, and files for TensorBoard."""

from __future__ import annotations

import json
import math
from typing import Any

from medseg.io import replace_file
from medseg.learning.run import Run


class Logbook:
    """Log of a run, of which what comes after a step is forgotten.

    Parameters
    ----------
    run : Run
    step, validated : int
        Updates and validations done, from which training goes on.
    tensorboard : bool
        Whether to write files for TensorBoard beside it.

    Raises
    ------
    ValueError
        If the log is damaged, or TensorBoard is not installed.
    """

    def __init__(self, run: Run, step: int, validated: int, *, tensorboard: bool = False) -> None:
        self._run = run
        self._writer = _writer(run, step) if tensorboard else None
        text = run.log.read_text(encoding="utf-8") if run.log.is_file() and step else ""
        kept, found = [], 0
        # The last line may be half there, where the power went.
        for line in text[: text.rfind("\n") + 1].splitlines():
            facts = _logged(line, run)
            found += "dice" in facts
            if facts["step"] <= step and ("dice" not in facts or found <= validated):
                kept.append(line)
        replace_file(run.log, "".join(f"{line}\n" for line in kept))

    def loss(self, step: int, seconds: float, share: float, loss: float) -> None:
        """Write the mean loss of the latest steps, and the share of the budget that is spent."""
        self._write(step=step, seconds=seconds, share=share, loss=loss)
        self._draw(step, {"loss": loss})

    def scores(self, step: int, seconds: float, dice: dict[str, float]) -> None:
        """Write the Dice of a validation, by label."""
        self._write(step=step, seconds=seconds, dice=dice)
        self._draw(step, {f"dice/{label}": value for label, value in dice.items()})

    def close(self) -> None:
        """Leave nothing unwritten."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, **facts: object) -> None:
        rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in facts.items()}
        with self._run.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")

    def _draw(self, step: int, values: dict[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)


def _writer(run: Run, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "tensorboard=True needs TensorBoard; install medseg[tensorboard]"
        ) from error
    return SummaryWriter(str(run.tensorboard), purge_step=step + 1)


def _logged(line: str, run: Run) -> dict[str, Any]:
    """Facts of a line of the log; ValueError if it is none that training wrote."""
    try:
        facts: dict[str, Any] = json.loads(line)
        numbers = [facts["step"], facts["seconds"], *facts.get("dice", {}).values()]
        numbers.append(facts.get("loss", 0.0))
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("a number is not finite")
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise ValueError(f"{run.log} is damaged; move it away and go on: {error}") from error
    return facts
