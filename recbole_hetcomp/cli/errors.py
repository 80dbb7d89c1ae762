"""The one place where errors become messages and exit statuses.

====================  ===  =======================================================================
done                    0
failed                  1  what had begun did not end well
wrong call              2  refused before anything ran: an option, a setting, a file, a config
interrupted           130  Ctrl-C
terminated            143  SIGTERM, which ends a command as Ctrl-C does
====================  ===  =======================================================================

A message is one line on stderr, ``error: …``. With ``--state=DEBUG`` the traceback stands before it. Errors of other
kinds than those named here are mistakes of the program: Python prints their traceback and gives status 1.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
import yaml

from recbole_hetcomp.cli.overrides import joined
from recbole_hetcomp.extensions import ExtensionError, place_in_extension
from recbole_hetcomp.file_errors import in_words
from recbole_hetcomp.signals import ending_in_order, interrupted_status
from recbole_hetcomp.threads import let_waiting_threads_sleep

DONE, FAILED, WRONG_CALL = 0, 1, 2
_EXPECTED = (ValueError, TypeError, OSError, ImportError, NotImplementedError)
_REFUSALS = (*_EXPECTED, KeyError, yaml.YAMLError)  # RecBole's Config raises KeyError where no model is named


class WrongCall(click.ClickException):
    """A call that was refused before anything ran."""

    exit_code = WRONG_CALL


@contextmanager
def checking() -> Iterator[None]:
    """What is refused inside is a wrong call.

    Raises:
        WrongCall: for any error by which a value, a file or a name is refused.

    >>> with checking():
    ...     raise ValueError("K=0 is not allowed: at least 1")
    Traceback (most recent call last):
    recbole_hetcomp.cli.errors.WrongCall: K=0 is not allowed: at least 1
    """
    try:
        yield
    except _REFUSALS as error:
        raise WrongCall(_text(error)) from error


def guarded(command: click.Command, program: str, argv: Sequence[str] | None) -> int:
    """Run a command and turn what goes wrong into a message; torch, which it may load, then has threads that sleep.

    Args:
        command: the command; its function returns the exit status, None for 0.
        program: the name that it was called by.
        argv: its words, None for the process's.

    Returns:
        The exit status.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    let_waiting_threads_sleep()
    try:
        with ending_in_order(), _lost_lines_said_once():
            return command.main(words, prog_name=program, standalone_mode=False) or DONE
    except (click.Abort, KeyboardInterrupt):
        print("\ninterrupted: what is finished is kept, the same command goes on", file=sys.stderr)
        return interrupted_status()
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            print(error.ctx.get_usage(), file=sys.stderr)
        return _say(error.format_message(), words, WRONG_CALL)
    except Exception as error:
        if isinstance(error, ExtensionError):  # one that the environment names: nothing has begun
            return _say(str(error), words, WRONG_CALL)
        if not isinstance(error, _failures()):
            raise
        return _say(_text(error) + place_in_extension(error), words, FAILED)


@contextmanager
def _lost_lines_said_once() -> Iterator[None]:
    """A log that cannot be written (a full disk) is told of in one line, not in a traceback a line."""
    before = logging.Handler.handleError
    lost: list[OSError] = []

    def say(handler: logging.Handler, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            before(handler, record)
        elif not lost:
            lost.append(error)
            print(f"the log in {getattr(handler, 'baseFilename', 'its file')} loses lines: {error}", file=sys.stderr)

    logging.Handler.handleError = say  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        logging.Handler.handleError = before  # type: ignore[method-assign]


def _failures() -> tuple[type[Exception], ...]:
    from recbole_hetcomp.trajectories import CorruptTrajectoryError

    return (*_EXPECTED, CorruptTrajectoryError)


def _say(message: str, words: Sequence[str], status: int) -> int:
    if "--state=DEBUG" in joined(words):
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    return status


def _text(error: BaseException) -> str:
    if isinstance(error, OSError):
        return in_words(error)
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
