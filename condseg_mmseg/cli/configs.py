"""``condseg configs``: list, print or copy the shipped configs."""

from __future__ import annotations

import argparse

from condseg_mmseg.configs import (
    config_dir,
    copy_configs,
    find_config,
    list_configs,
    read_config,
)
from condseg_mmseg.utils.cfg_options import read_options
from condseg_mmseg.utils.errors import UserError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        'configs', help='list, print or copy the shipped configs',
        description='Without arguments: list the names. With a name or a file: print the config, '
        'bases and options merged.',
    )  # fmt: skip
    parser.add_argument('names', metavar='NAME', nargs='*', help='name or file of a config')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--paths', action='store_true', help='print the paths of the files')
    what.add_argument('--dir', action='store_true', help='print the folder of the shipped configs')
    what.add_argument(
        '--copy', metavar='DIR',
        help='copy the shipped configs, or those of NAME and what they are based on, to DIR',
    )  # fmt: skip
    parser.add_argument('--force', action='store_true', help='let --copy replace files')
    parser.add_argument(
        '--cfg-options', metavar='KEY=VALUE', nargs='+', action='extend', default=[],
        help='changes of the printed config',
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print names, paths or a config, or copy files."""
    if args.dir and args.names:
        raise UserError(f'--dir takes no NAME, got {" ".join(args.names)}')
    if args.force and not args.copy:
        raise UserError('--force needs --copy DIR')
    if args.cfg_options and (not args.names or args.paths or args.copy):
        raise UserError('--cfg-options changes the config that is printed: give one NAME')
    if args.dir:
        print(config_dir())
    elif args.copy:
        copied = copy_configs(args.copy, args.names, force=args.force)
        print(f'{args.copy}: {len(copied)} files')
    elif args.paths or not args.names:
        for path in map(find_config, args.names) if args.names else list_configs(config_dir()):
            print(path if args.paths else path.stem)
    elif len(args.names) > 1:
        raise UserError('one config can be printed, several can be copied with --copy DIR')
    else:
        print(read_config(args.names[0], read_options(args.cfg_options)).pretty_text)
    return 0
