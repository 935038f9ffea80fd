"""``condseg configs``: list, print or copy the shipped configs."""

from __future__ import annotations

import argparse

from condseg_mmseg.configs import config_dir, list_configs


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command."""
    parser = commands.add_parser('configs', help='list, print or copy the shipped configs')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the names."""
    print('\n'.join(path.stem for path in list_configs(config_dir())))
    return 0
