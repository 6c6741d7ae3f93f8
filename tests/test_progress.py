"""Progress: a bar on a terminal, a line a minute elsewhere, silence where nobody listens."""

import io
import logging
import sys

import pytest

from medseg import progress as module
from medseg.progress import progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def monotonic(self) -> float:
        """Seconds that the clock was set to."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_line_a_minute_and_no_more(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    with caplog.at_level(logging.INFO, "medseg"), progress("training") as shown:
        for _ in range(100):
            clock.now += 1.5
            shown.update(0.25, "loss 0.5")
    assert caplog.messages == ["training: 25 %  loss 0.5"] * 2


def test_quick_work_says_nothing(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    with caplog.at_level(logging.INFO, "medseg"), progress("training") as shown:
        clock.now += 59
        shown.update(1.0)
    assert caplog.messages == []


def test_nothing_is_said_where_nobody_listens(
    caplog: pytest.LogCaptureFixture, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with caplog.at_level(logging.WARNING, "medseg"), progress("training") as shown:
        clock.now += 100
        shown.update(0.5)
    assert (caplog.messages, terminal.getvalue()) == ([], "")


def test_a_terminal_shows_a_bar_with_what_is_to_be_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with caplog.at_level(logging.INFO, "medseg"), progress("training") as shown:
        shown.update(0.5, "loss 0.25")
    for text in ("training", "50%", "loss 0.25"):
        assert text in terminal.getvalue()
    assert caplog.messages == []


def test_an_error_passes_through_the_bar(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with (
        caplog.at_level(logging.INFO, "medseg"),
        pytest.raises(ValueError, match="no good"),
        progress("training"),
    ):
        raise ValueError("no good")


def test_nothing_goes_to_standard_output(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with progress("training") as shown:
        clock.now += 100
        shown.update(0.5)
    assert capsys.readouterr().out == ""
