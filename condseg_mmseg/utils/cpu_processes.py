"""Joins the processes of PyTorch's launcher on a machine without a GPU."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.device import get_device

from ..configs import read_config
from .cfg_options import read_options

_WITH_VALUE = ('--work-dir', '--out', '--show-dir', '--wait-time', '--local_rank', '--local-rank')


def join_cpu_processes(arguments: Sequence[str]) -> list[str]:
    """Join the processes, if PyTorch's launcher started this one and there is no GPU.

    mmengine's own start calls ``torch.cuda`` and hands the number of a GPU to
    ``DistributedDataParallel``. It leaves out the first if the processes have been joined already,
    and the second by an option.

    Args:
        arguments: Those of mmseg's ``train.py`` or ``test.py``.

    Returns:
        Further arguments of the script; none where it needs no help.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('config', nargs='?')
    parser.add_argument('--launcher')
    parser.add_argument('--cfg-options', nargs='+', action='extend', default=[])
    for name in _WITH_VALUE:
        parser.add_argument(name)
    given, _ = parser.parse_known_args(arguments)
    if given.launcher != 'pytorch' or given.config is None or get_device() != 'cpu':
        return []
    options = _wrapper_options(read_config(given.config, read_options(given.cfg_options)))
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    return ['--cfg-options', *options]


def leave_processes() -> None:
    """Wait for the other processes and leave the group; gloo may abort one that does not."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _wrapper_options(cfg: Config) -> list[str]:
    settings: dict[str, object] = dict(device_ids=None)
    if not cfg.get('model_wrapper_cfg'):  # mmengine's defaults where the config has no wrapper
        unused = cfg.get('find_unused_parameters', False)
        settings |= dict(
            type='MMDistributedDataParallel', broadcast_buffers=False, find_unused_parameters=unused
        )
    return [f'model_wrapper_cfg.{key}={value}' for key, value in settings.items()]
