"""Types of the command line's arguments, and arguments that several sub-commands have."""

from __future__ import annotations

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CONFIG = 'configs/condseg/condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
MIN_SIDE = 32  # below it BatchNorm has a single value per channel to normalise
DTYPES = ('float32', 'bfloat16')


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be 1 or more, got {text}')
    return value


def side(text: str) -> int:
    """Read the height or width of an image."""
    value = int(text)
    if value < MIN_SIDE:
        raise argparse.ArgumentTypeError(f'must be {MIN_SIDE} or more, got {text}')
    return value


def add_image_arguments(parser: argparse.ArgumentParser, batch: int) -> None:
    """Add the size and number of the images.

    Args:
        parser: Of the sub-command.
        batch: Default number of images.
    """
    parser.add_argument(
        '--shape', type=side, nargs=2, action='append', metavar=('H', 'W'),
        help=f'size of the images in pixels, {MIN_SIDE} or more; may be given several times '
        '(default: 256 256)',
    )  # fmt: skip
    parser.add_argument('--batch', type=positive, default=batch, help='images')


def shapes(args: argparse.Namespace) -> list[list[int]]:
    """Sizes of the images, height and width each."""
    return args.shape or [[256, 256]]


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config, and which variants of its network run."""
    parser.add_argument(
        '--config', type=Path, default=ROOT / CONFIG, metavar='FILE',
        help=f'of the network (default: {CONFIG} of the repository)',
    )  # fmt: skip
    parser.add_argument(
        '--checkpoint', type=Path, metavar='FILE', help='weights of it (default: random ones)'
    )
    parser.add_argument(
        '--dtype', nargs='+', choices=DTYPES, default=list(DTYPES),
        help='leave out the variants of the other one',
    )  # fmt: skip
    parser.add_argument(
        '--compile', action='store_true', help='add the variants under torch.compile'
    )
