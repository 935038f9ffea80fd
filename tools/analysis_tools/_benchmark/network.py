"""The network of a config with random weights, its variants, and images."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import mmcv
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from .arguments import CONFIG, ROOT

_SETTLING = (2, 3, 128, 128)  # images whose BatchNorm statistics stand for those of training
_IMAGES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
_PRODUCTS = ('convolution', 'addmm', 'mm', 'bmm', 'baddbmm')
ONE_FILE = ROOT / 'docs' / 'condseg_in_one_file.py'
# arguments of a part that the one file takes too, or that do not change the function
_FREE = {
    'in_channels', 'out_channels', 'channels', 'head_channels', 'sid_channels', 'num_heads',
    'kernel_size', 'with_cp', 'backend',
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What is done to the network of the config.

    Args:
        literal: It is built as published (:func:`build_literal`).
        bfloat16: Its forward pass runs under autocast.
        compiled: Its ``forward`` goes through ``torch.compile``.
        with_cp: Neck and heads compute maps again in the backward pass.
        products: Only its convolutions and matrix products run.
        channels_last: It runs on channels-last maps (``ChannelsLastHook``).
    """

    literal: bool = False
    bfloat16: bool = False
    compiled: bool = False
    with_cp: bool = False
    products: bool = False
    channels_last: bool = False

    def autocast(self, device: str) -> AbstractContextManager:
        """The context of the forward pass."""
        return torch.autocast(device.partition(':')[0], torch.bfloat16, enabled=self.bfloat16)


def wanted(args: argparse.Namespace, variant: Variant) -> bool:
    """Whether ``--dtype`` and ``--compile`` ask for a variant."""
    dtype = 'bfloat16' if variant.bfloat16 else 'float32'
    return dtype in args.dtype and (args.compile or not variant.compiled)


def check(args: argparse.Namespace) -> str | None:
    """Say what is wrong with the files of the arguments, or None."""
    read_config(args.config)
    if args.checkpoint is not None and not args.checkpoint.is_file():
        return f'--checkpoint {args.checkpoint} does not exist'
    return None


def read_config(path: Path) -> Config:
    """Read the config of a network.

    Raises:
        ValueError: There is no such file, or no model in it.
    """
    if not Path(path).is_file():
        raise ValueError(f'--config {path} does not exist')
    cfg = Config.fromfile(path)
    if 'model' not in cfg:
        raise ValueError(f'--config {path} has no model')
    return cfg


def build_network(args: argparse.Namespace) -> nn.Module:
    """Build the network of ``--config`` in eval mode, with the weights of the seed.

    Nothing is downloaded, and nothing read but ``--checkpoint``, if it is given.

    Args:
        args: With ``config``, ``checkpoint`` and ``device``.
    """
    model_cfg = _without_weights(read_config(args.config).model.to_dict())
    # images come as they are fed to the network
    model_cfg.pop('data_preprocessor', None)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(model_cfg)
    if args.checkpoint is None:
        _settle(model)
    else:
        load_checkpoint(model, str(args.checkpoint), 'cpu', strict=True, logger='silent')
    return model.to(args.device).eval()


def why_no_file() -> str | None:
    """Say that docs/condseg_in_one_file.py is missing, as in an installed package, or None."""
    return None if ONE_FILE.is_file() else f'{ONE_FILE.name} comes with the repository only'


def one_file() -> ModuleType:
    """Import docs/condseg_in_one_file.py."""
    spec = importlib.util.spec_from_file_location(ONE_FILE.stem, ONE_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_literal(args: argparse.Namespace) -> nn.Module:
    """Build the network as published: docs/condseg_in_one_file.py with the config's encoder.

    It has the weights of :func:`build_network`, computes the maps of all heads in eval mode too,
    and its memory format is contiguous.

    Args:
        args: As there; nothing of it is refused by :func:`why_not_literal`.
    """
    ours, cfg = build_network(args), read_config(args.config).model
    neck = cfg.neck
    literal = one_file().ConDSeg(
        ours.backbone,
        neck.in_channels,
        neck.out_channels,
        neck.num_heads,
        neck.kernel_size,
        neck.get('sid_channels') or neck.in_channels[-1] // 2,
        cfg.decode_head.head_channels,
        cfg.auxiliary_head.channels,
    )
    literal.load_state_dict(ours.state_dict(), strict=True)
    return literal.to(args.device, memory_format=torch.contiguous_format).eval()


def why_not_literal(args: argparse.Namespace) -> str | None:
    """Say why the one file cannot build the network of ``--config``, or None.

    It may differ from that of ConDSeg with ResNet-50 in its encoder and its widths.
    """
    if missing := why_no_file():
        return missing
    model, published = read_config(args.config).model, read_config(ROOT / CONFIG).model
    for part in ('neck', 'decode_head', 'auxiliary_head'):
        mine, theirs = model.get(part) or {}, published[part]
        if not isinstance(mine, dict):  # several heads
            return f'{ONE_FILE.name} has one {part}'
        for name in sorted({*mine, *theirs} - _FREE, key=lambda name: (name != 'type', name)):
            if mine.get(name) != theirs.get(name):
                found = f'{args.config.name} has {part}.{name}={mine.get(name)}'
                return f'{found}, which {ONE_FILE.name} does not have'
    return None


def _without_weights(node: Any) -> Any:
    if isinstance(node, dict):
        drop = ('init_cfg', 'pretrained')
        return {k: None if k in drop else _without_weights(v) for k, v in node.items()}
    return type(node)(map(_without_weights, node)) if isinstance(node, (list, tuple)) else node


@torch.no_grad()
def _settle(model: nn.Module) -> None:
    """Give BatchNorm random weights, and the statistics of random images.

    With biases near 1 most values pass ReLU. With biases near 0 a random network of this depth is
    chaotic, as no trained one is: it enlarges rounding a thousandfold on its way to the logits.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # running statistics are the mean over all passes
        norm.reset_running_stats()
        if norm.affine:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(1, 0.1)
    model.train()
    for _ in range(2):
        features = model.extract_feat(smooth_images(*_SETTLING))
        for head in heads(model):
            head.forward(features)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def heads(model: nn.Module) -> list[nn.Module]:
    """The auxiliary heads of a segmentor, and last its decode head."""
    found: list[nn.Module] = []
    if model.with_auxiliary_head:
        several = isinstance(model.auxiliary_head, nn.ModuleList)
        found = list(model.auxiliary_head) if several else [model.auxiliary_head]
    return [*found, model.decode_head]


def smooth_images(batch: int, channels: int, height: int, width: int) -> Tensor:
    """Random images of broad shapes with a little noise, (N, C, H, W), near N(0, 1)."""
    shapes = F.interpolate(
        torch.randn(batch, channels, 8, 8), (height, width), mode='bilinear', align_corners=True
    )
    return 1.5 * shapes + 0.1 * torch.randn(batch, channels, height, width)


def read_images(args: argparse.Namespace, height: int, width: int) -> Tensor:
    """The first ``--batch`` images of ``--images``, resized and normalised as the config does."""
    paths = image_paths(args.images)[: args.batch]
    pictures = [mmcv.imresize(mmcv.imread(path), (width, height)) for path in paths]
    cfg = read_config(args.config).model.data_preprocessor
    pixels = torch.stack([torch.from_numpy(x).permute(2, 0, 1).float() for x in pictures])
    if cfg.get('bgr_to_rgb'):
        pixels = pixels.flip(1)
    mean, std = (torch.tensor(cfg[name]).view(3, 1, 1) for name in ('mean', 'std'))
    return (pixels - mean) / std


def image_paths(folder: Path) -> list[Path]:
    """Image files of a folder, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGES)


class _Products(TorchDispatchMode):
    """Notes every convolution and matrix product with its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket.__name__ in _PRODUCTS:
            self.calls.append((func, args, kwargs))
        return func(*args, **kwargs)


@torch.no_grad()
def products_of(call: Callable) -> Callable[[], None]:
    """Run ``call`` once, and return a call of its convolutions and matrix products alone."""
    with _Products() as mode:
        call()

    @torch.no_grad()
    def run() -> None:
        for func, args, kwargs in mode.calls:
            func(*args, **kwargs)

    return run
