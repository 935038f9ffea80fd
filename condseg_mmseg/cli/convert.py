"""``condseg convert``: published checkpoints to ours."""

from __future__ import annotations

import argparse
from pathlib import Path

from condseg_mmseg.apis.convert import convert

_DESCRIPTION = """\
Turn a published ConDSeg (ResNet-50) checkpoint into one for the configs whose name has "official".
Whatever is left over on either side is listed, and nothing is written. SRC is read without running
code."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        'convert', help='published checkpoints to ours', description=_DESCRIPTION
    )
    parser.add_argument('src', type=Path, metavar='SRC', help='published checkpoint')
    parser.add_argument('dst', type=Path, metavar='DST', help='file to write, .pth or .safetensors')
    parser.add_argument(
        '--stage', type=int, choices=(1, 2), default=2, help='which network it is (default: 2)'
    )
    parser.add_argument('--force', action='store_true', help='replace DST')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert."""
    entries = convert(args.src, args.dst, stage=args.stage, force=args.force)
    print(f'{entries} entries written to {args.dst}')
    return 0
