"""Folds BatchNorm into the convolutions before it, for inference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmcv.cnn import ConvModule, fuse_conv_bn
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmseg.registry import HOOKS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def fuse_model(model: nn.Module) -> int:
    """Fold every BatchNorm that directly follows a convolution into it, in place.

    In eval mode BatchNorm is one multiplication and one addition per channel, which the weight and
    the bias of the convolution can take over: the same logits up to rounding. mmcv's
    ``mmcv.cnn.fuse_conv_bn`` does it, and leaves an ``Identity`` in the place of the BatchNorm. It
    goes by the order in which a module registered its children, in which mmseg's and our networks
    run them. Where another layer is registered between the two, or a ``ConvModule`` has another
    order, this function refuses before anything is changed; a ``forward`` that does otherwise it
    cannot see.

    Args:
        model: In eval mode. It can no longer be trained, and no checkpoint of the network fits it.

    Returns:
        int: Pairs that were fused; 0 for a model that is fused already.

    Raises:
        ValueError: The model is in training mode, or a pair cannot be fused; the message names it.
    """
    if model.training:
        raise ValueError(
            'the model is in training mode, where BatchNorm follows the batch and cannot be folded '
            'into a convolution; call model.eval() first'
        )
    pairs = list(_pairs(model))
    for name, conv, norm, between in pairs:
        reason = _why_not(conv, norm, between)
        if reason:
            raise ValueError(f'{name} cannot be fused: {reason}')
    shared = {id(conv) for _, conv, _, _ in pairs}
    if len(shared) < len(pairs):
        raise ValueError('a convolution is followed by more than one BatchNorm, in several modules')
    with torch.no_grad():
        fuse_conv_bn(model)
    return len(pairs)


def _pairs(model: nn.Module) -> Iterator[tuple[str, nn.Conv2d, _BatchNorm, str]]:
    """Yield what mmcv fuses: the name of the norm, both layers, and what lies between them."""
    for path, module in model.named_modules():
        conv, between = None, ''
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                if conv is not None:
                    if isinstance(module, ConvModule) and not _norm_follows(module):
                        between = f'order={module.order}'
                    yield f'{path}.{name}'.lstrip('.'), conv, child, between
                conv = None
            elif isinstance(child, nn.Conv2d):
                conv, between = child, ''
            else:
                between = between or f'{name} ({type(child).__name__})'


def _norm_follows(module: ConvModule) -> bool:
    return module.order.index('norm') == module.order.index('conv') + 1


def _why_not(conv: nn.Conv2d, norm: _BatchNorm, between: str) -> str:
    if between:
        return f'it need not follow the convolution directly: {between} lies between them'
    if norm.running_var is None or not norm.affine:
        return 'it has no running statistics (track_running_stats) or no weight (affine)'
    if norm.num_features != conv.out_channels:
        return f'it has {norm.num_features} channels, the convolution {conv.out_channels}'
    return ''


@HOOKS.register_module()
class FuseConvBNHook(Hook):
    """Fold BatchNorm into the convolutions of the model before it is tested.

    For ``tools/test.py``, whose ``--fuse-conv-bn`` adds it; with mmseg's own script::

        --cfg-options default_hooks.fuse.type=FuseConvBNHook

    The scores are those of the network as it is, up to rounding. A network of which some BatchNorm
    has no convolution before it keeps that one; the log counts both.

    Raises:
        RuntimeError: The runner trains: a fused network has no BatchNorm left to train. Or it
            tests averaged weights (``EMAHook``), which do not fit a fused network.
        ValueError: What :func:`fuse_model` refuses.
    """

    def before_train(self, runner: Any) -> None:
        """Refuse to train."""
        raise RuntimeError(
            'FuseConvBNHook is for testing only: a fused network cannot be trained. Take it out '
            'of default_hooks and custom_hooks of the config of a training'
        )

    def before_test(self, runner: Any) -> None:
        """Fuse the model of the runner, whose checkpoint has been loaded."""
        if any(isinstance(hook, EMAHook) for hook in runner.hooks):
            raise RuntimeError(
                'FuseConvBNHook cannot fuse a network whose weights EMAHook exchanges for averaged '
                'ones; take EMAHook out: a checkpoint that it wrote holds the averaged weights as '
                'its state_dict'
            )
        model = runner.model  # a wrapper's module is fused inside it
        model.eval()  # as the test loop itself does after this hook
        fused = fuse_model(model)
        left = sum(isinstance(module, _BatchNorm) for module in model.modules())
        print_log(
            f'FuseConvBNHook: {fused} BatchNorm layers folded into convolutions, {left} left',
            logger='current',
        )
