"""The `medseg` command. Parses, calls the library, prints; nothing else is decided here.

Nothing heavy is imported before a command needs it, so that help comes at once.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import medseg
from medseg.cli.calibrate import calibrate
from medseg.cli.choose import choose
from medseg.cli.compare import compare
from medseg.cli.convert import convert
from medseg.cli.demo import demo
from medseg.cli.ensemble import ensemble
from medseg.cli.evaluate import evaluate
from medseg.cli.explain import explain
from medseg.cli.export import export
from medseg.cli.import_nnunet import import_nnunet
from medseg.cli.info import info
from medseg.cli.methods import methods
from medseg.cli.options import Quiet, Threads, use_threads
from medseg.cli.plan import plan
from medseg.cli.predict import predict
from medseg.cli.segment import segment
from medseg.cli.train import train
from medseg.cli.tune import tune
from medseg.cohort import in_one_line, mendable
from medseg.device import available_threads

_INTERRUPTED = 130  # 128 + SIGINT, what typer makes of KeyboardInterrupt

log = logging.getLogger("medseg")
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
_COMMANDS = (
    demo,
    methods,
    info,
    convert,
    segment,
    tune,
    plan,
    train,
    predict,
    import_nnunet,
    export,
    choose,
    ensemble,
    explain,
    calibrate,
    evaluate,
    compare,
)
for _command in _COMMANDS:
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit; what a user can mend becomes one line and exit code 2.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(given or ["--help"], prog_name="medseg", standalone_mode=False, obj=given)
    except typer.TyperException as error:  # an unknown command, a missing option
        code = _complain(error.format_message(), 2)
    except mendable() as error:
        code = _complain(in_one_line(error), 2)
    if code == _INTERRUPTED:
        _complain("interrupted; what is done is kept", code)
    raise SystemExit(code)


def _complain(message: str, code: int) -> int:
    typer.echo(f"medseg: {' '.join(message.split())}", err=True)
    return code


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"medseg {medseg.__version__}")
        raise typer.Exit


@app.callback()
def _shared(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say which it is."),
    ] = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Segment medical images, the classical way or with trained networks."""
    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        use_threads(available_threads())
    # Threads that wait for work sleep: spinning, they would take the cores from our own kernels
    # and from whatever else runs on the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not quiet:
        log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(_ToStderr())


class _ToStderr(logging.Handler):
    """Writes to whatever stderr is at the time, so that lines appear above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(self.format(record), err=True)
