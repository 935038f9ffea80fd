"""Parameters and multiply-adds of the network of a config.

Counted by mmengine's ``FlopAnalyzer``, as mmseg's ``get_flops.py`` does: convolutions, matrix
products, BatchNorm and bilinear resizes at batch 1, one fused multiply-add as one. It does not know
the outlook aggregation of :mod:`condseg_mmseg.ops`, so a handle for it is here. Left out, as
there: sums and products of single elements, pooling, sigmoid and softmax.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from dev_common import build_model, count
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from torch import Tensor, nn

from condseg_mmseg.models.layers import ContrastDrivenFeatureAggregation

# What prediction leaves out. A test compares this with the parameters that logits depend on.
TRAINING_ONLY = ('auxiliary_head', 'neck.sid.uncertainty')
PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')
# Arguments that change neither parameters nor the number of operations.
WITHOUT_EFFECT = ('init_cfg', 'loss_decode', 'background_target', 'attn_order')


def input_size(config: Config) -> tuple[int, int]:
    """Height and width in pixels of the network's input, those of the data preprocessor."""
    height, width = config.model.data_preprocessor.size
    return height, width


def network_key(config: Config) -> str:
    """Text that two configs share if parameters and multiply-adds of their networks are the same.

    It is the network without its losses and the origin of its weights, and the input size: configs
    that differ in data, schedule or preset need one measurement.
    """

    def shape_of(node: object) -> object:
        if isinstance(node, dict):
            return {k: shape_of(v) for k, v in sorted(node.items()) if k not in WITHOUT_EFFECT}
        return [shape_of(x) for x in node] if isinstance(node, (list, tuple)) else node

    parts = {part: shape_of(config.model.get(part)) for part in PARTS}
    return json.dumps([parts, input_size(config)])


class _AllParts(nn.Module):
    """A segmentor with everything that one view passes in training, as one module to trace."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.model.extract_feat(x)
        logits = self.model.decode_head(features)
        if not self.model.with_auxiliary_head:
            return (logits,)
        return (logits, *self.model.auxiliary_head(features))


def _outlook(inputs: Sequence, outputs: Sequence) -> Counter:
    """Multiply-adds of one of the (2k-1)^2 steps of :mod:`condseg_mmseg.ops.fast`."""
    return Counter(outlook=math.prod(outputs[0].type().sizes()))


def analyze(model: Any, size: tuple[int, int]) -> FlopAnalyzer:
    """Count the multiply-adds of a segmentor, the parts for training included.

    Returns:
        mmengine's analyzer, in which the segmentor is the module 'model'.

    Raises:
        RuntimeError: An operation in Python that no handle counts.
    """
    model = model.eval()
    if model.with_auxiliary_head:
        model.neck.sid_in_eval = True
    for module in model.modules():
        if isinstance(module, ContrastDrivenFeatureAggregation):
            module.backend = 'fast'  # whatever 'auto' would take on this machine
    analyzer = FlopAnalyzer(_AllParts(model), (torch.zeros(1, 3, *size),))
    analyzer.set_op_handle('aten::addcmul', _outlook)
    analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad():
        analyzer.total()
    unknown = [op for op in analyzer.unsupported_ops() if op.startswith('prim::PythonOp')]
    if unknown:
        raise RuntimeError(f'no handle counts {", ".join(unknown)}: add one beside _outlook')
    return analyzer


def numbers(model: nn.Module, analyzer: FlopAnalyzer) -> dict[str, Any]:
    """Put parameters and multiply-adds under the names of a metafile.

    Returns:
        Exact numbers: ``Parameters`` (all), ``FLOPs`` (prediction) and, where something is for
        training only, ``Training-only Parameters`` by part and ``Training-only FLOPs``.
    """
    modules = dict(model.named_modules())
    parts = [part for part in TRAINING_ONLY if part in modules]
    flops = analyzer.by_module()
    training = sum(flops[f'model.{part}'] for part in parts)
    result: dict[str, Any] = {'Parameters': count(model)}
    if parts:
        result['Training-only Parameters'] = {part: count(modules[part]) for part in parts}
    result['FLOPs'] = int(analyzer.total() - training)
    if parts:
        result['Training-only FLOPs'] = int(training)
    return result


def measure(config: Config) -> dict[str, Any]:
    """Build the network of a config and return its :func:`numbers` at its input size."""
    model = build_model(config)
    return numbers(model, analyze(model, input_size(config)))
