"""The command ``condseg``: one file for each sub-command, which parses, calls and prints.

A sub-command ``add_parser(commands)`` adds its parser, whose default ``run`` is called with the
arguments and returns the exit status: 0 done, 1 found something or failed, 2 wrong use.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.version import __version__

from . import check, compare, configs, convert, demo, evaluate, predict, prepare, train

_COMMANDS = (demo, configs, prepare, check, train, predict, evaluate, compare, convert)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog='condseg', description='ConDSeg for MMSegmentation: the work around a training.'
    )
    parser.add_argument('--version', action='version', version=f'condseg-mmseg {__version__}')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    Args:
        argv: Arguments. Default: those of the process.

    Returns:
        The exit status. argparse itself exits with 2 where the arguments are wrong.
    """
    return call(make_parser().parse_args(argv))


def call(args: argparse.Namespace) -> int:
    """Run a parsed command; print the user's errors as one line.

    Args:
        args: With the function ``run``, which is called with them.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')  # file names may hold anything
    status = 0
    try:
        status = args.run(args)
        sys.stdout.flush()
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `| head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # flushed at exit, too
    except KeyboardInterrupt:
        print('stopped', file=sys.stderr)
        return 130
    return status
