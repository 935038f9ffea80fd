"""The network of a config: its variants, random weights, the published form, and images."""

from __future__ import annotations

import argparse
import importlib.util
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import mmcv
import torch
import torch.nn.functional as F
from dev_common import ROOT, build_model
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from condseg_mmseg.configs import read_config
from condseg_mmseg.engine.checkpoint_loader import require_checkpoint
from condseg_mmseg.utils.errors import UserError

from .core import DTYPES, Benchmark

CONFIG = 'configs/condseg/condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
ONE_FILE = ROOT / 'docs' / 'condseg_in_one_file.py'
_IMAGES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
_SETTLING = (2, 3, 128, 128)  # images whose BatchNorm statistics stand for those of training
# arguments of a part that the one file takes too, or that do not change the function
_FREE = {
    'in_channels', 'out_channels', 'channels', 'head_channels', 'sid_channels', 'num_heads',
    'kernel_size', 'with_cp', 'backend',
}  # fmt: skip


class NetworkBenchmark(Benchmark):
    """Variants of the network of ``--config``; the parts of a variant's name say what it is.

    ``literal``: as published (:func:`build_literal`). ``ours``: as the config builds it. ``bf16``:
    under autocast. ``cl``: on channels-last maps (``ChannelsLastHook``). ``cp``: neck and heads
    compute maps again in the backward pass. ``compiled``: through ``torch.compile``. ``products``:
    its convolutions and matrix products only.
    """

    what = ''

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.config = read_config(args.config)
        if 'model' not in self.config:
            raise UserError(f'--config {args.config} has no model')
        if args.checkpoint is not None:
            require_checkpoint(args.checkpoint)

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add('--config', type=Path, default=ROOT / CONFIG, metavar='FILE', help='of the network')
        add('--checkpoint', type=Path, metavar='FILE', help='its weights, or else random ones')
        add('--dtype', nargs='+', choices=DTYPES, default=list(DTYPES), help='of the variants')
        add('--compile', action='store_true', help='add the variants under torch.compile')

    def passes(self) -> dict[str, str]:
        text = f'{self.what}, {self.args.batch}'
        return {f'{h}x{w}': f'{text} x {h} x {w}' for h, w in self.args.shape}

    def wanted(self, variant: str) -> bool:
        dtype = 'bfloat16' if 'bf16' in variant else 'float32'
        return dtype in self.args.dtype and (self.args.compile or 'compiled' not in variant)

    def why_not(self, variant: str) -> str | None:
        return why_not_literal(self.config) if variant == 'literal' else None

    def network(self, variant: str) -> Any:
        """Build the network of a variant in eval mode."""
        model = build_network(self.config, self.args.checkpoint)
        if variant == 'literal':
            model = build_literal(self.config, model)
        return model.to(self.args.device).eval()

    def finished(self, model: Any, variant: str) -> Any:
        """Put a network into the memory format of a variant, and compile it."""
        if variant.endswith('-cl'):
            model.to(memory_format=torch.channels_last)
        if 'compiled' in variant:
            model.forward = torch.compile(model.forward)
        return model

    def autocast(self, variant: str) -> AbstractContextManager[None]:
        """The context of the forward pass."""
        kind = self.args.device.partition(':')[0]
        return torch.autocast(kind, torch.bfloat16, enabled='bf16' in variant)


def build_network(config: Config, checkpoint: Path | None = None) -> Any:
    """Build the network of a config in eval mode, with random weights where no file gives them."""
    model = build_model(config)
    if checkpoint is None:
        _settle(model)
    else:
        load_checkpoint(model, str(checkpoint), 'cpu', strict=True, logger='silent')
    return model.eval()


def one_file() -> ModuleType:
    """Import docs/condseg_in_one_file.py."""
    spec = importlib.util.spec_from_file_location(ONE_FILE.stem, ONE_FILE)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_literal(config: Config, ours: Any) -> Any:
    """Build the network as published: docs/condseg_in_one_file.py with our encoder and weights.

    It computes the maps of all heads in eval mode too, and its memory format is contiguous.
    """
    neck, head = config.model.neck, config.model.decode_head
    widths = [neck.in_channels, neck.out_channels, neck.num_heads, neck.kernel_size]
    widths.append(neck.get('sid_channels') or neck.in_channels[-1] // 2)
    widths += [head.head_channels, config.model.auxiliary_head.channels]
    literal = one_file().ConDSeg(ours.backbone, *widths)
    literal.load_state_dict(ours.state_dict(), strict=True)
    return literal.to(memory_format=torch.contiguous_format)


def why_not_literal(config: Config) -> str | None:
    """Say why the one file cannot build the network of a config, or None.

    It may differ from that of ConDSeg with ResNet-50 in its encoder and its widths.
    """
    published = read_config(ROOT / CONFIG).model
    for part in ('neck', 'decode_head', 'auxiliary_head'):
        mine, theirs = config.model.get(part) or {}, published[part]
        if not isinstance(mine, dict):  # several heads
            return f'{ONE_FILE.name} has one {part}'
        for key in sorted({*mine, *theirs} - _FREE, key=lambda key: (key != 'type', key)):
            if mine.get(key) != theirs.get(key):
                return f'{ONE_FILE.name} does not have {part}.{key}={mine.get(key)}'
    return None


@torch.no_grad()
def _settle(model: Any) -> None:
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


def heads(model: Any) -> list[nn.Module]:
    """The auxiliary heads of a segmentor, and last its decode head."""
    auxiliary = getattr(model, 'auxiliary_head', None)
    several = isinstance(auxiliary, nn.ModuleList)
    found = [] if auxiliary is None else list(auxiliary) if several else [auxiliary]
    return [*found, model.decode_head]


def smooth_images(batch: int, channels: int, height: int, width: int) -> Tensor:
    """Random images of broad shapes with a little noise, (N, C, H, W), near N(0, 1)."""
    shapes = F.interpolate(
        torch.randn(batch, channels, 8, 8), (height, width), mode='bilinear', align_corners=True
    )
    return 1.5 * shapes + 0.1 * torch.randn(batch, channels, height, width)


def read_images(folder: Path, batch: int, size: tuple[int, int], config: Config) -> Tensor:
    """Read the first images of a folder, resized and normalised as a config does, (N, 3, H, W)."""
    pictures = [mmcv.imresize(mmcv.imread(p), size[::-1]) for p in image_paths(folder)[:batch]]
    inputs = [torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]
    return MODELS.build(config.model.data_preprocessor)({'inputs': inputs})['inputs']


def image_paths(folder: Path) -> list[Path]:
    """Image files of a folder, sorted; none where there is no such folder."""
    return sorted(path for path in folder.glob('*') if path.suffix.lower() in _IMAGES)
