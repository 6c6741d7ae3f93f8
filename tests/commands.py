"""Call the command in this process, and leave the process as it was."""

import logging
import os
from unittest import mock

import pytest

from medseg import cli


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `medseg ARGUMENTS...`, run in one thread."""
    log = logging.getLogger("medseg")
    level, handlers = log.level, list(log.handlers)
    capsys.readouterr()
    try:
        with (
            mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}),
            pytest.raises(SystemExit) as caught,
        ):
            cli.main([str(argument) for argument in arguments])
    finally:
        log.level, log.handlers = level, handlers
    captured = capsys.readouterr()
    return int(caught.value.code or 0), captured.out, captured.err


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line with which `medseg ARGUMENTS...` refuses."""
    code, out, err = command(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("medseg: ")
    assert err.count("\n") == 1
    return err
