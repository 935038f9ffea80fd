"""The command line of ``tools/analysis_tools/contact_sheet.py``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from condseg_mmseg.apis.contact_sheet import contact_sheet
from condseg_mmseg.utils.cfg_options import read_options

from . import call


def main(argv: Sequence[str] | None = None) -> int:
    """Draw a contact sheet and print its path.

    Args:
        argv: Arguments. Default: those of the process.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        description='Draw a contact sheet: image, truth, prediction, contours, maps of the SID head'
    )
    parser.add_argument('config', help='config file, or the name of a shipped config')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out', type=Path, help='PNG to write (default: contact_sheet_SPLIT.png beside CHECKPOINT)'
    )
    parser.add_argument('--num', type=int, default=10, help='images, evenly spaced (default: 10)')
    parser.add_argument('--indices', type=int, nargs='+', help='these images instead, from 0')
    parser.add_argument('--split', choices=('val', 'test'), default='val', help='default: val')
    parser.add_argument('--data-root', help="instead of the config's")
    parser.add_argument('--tile', type=int, default=144, help='width in pixels (default: 144)')
    parser.add_argument('--device', default='cpu', help='default: cpu')
    parser.add_argument(
        '--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
        help='changes of the config',
    )  # fmt: skip
    parser.add_argument('--force', action='store_true', help='replace the file')
    parser.set_defaults(run=run)
    return call(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Draw and print."""
    options = {key: value for key, value in vars(args).items() if key != 'run'}
    options['cfg_options'] = read_options(args.cfg_options)
    print(contact_sheet(**options))
    return 0
