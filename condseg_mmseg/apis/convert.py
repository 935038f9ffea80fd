"""Turns a published ConDSeg (ResNet-50) checkpoint into one for our configs.

Stage 1 is the encoder with its light head (``ConsistencyReinforcement``), stage 2 the whole of
ConDSeg. A converted stage 1 hands its encoder to stage 2 as one of our own does.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor

from ..configs import config_dir, read_config
from ..datasets import BinaryMedicalDataset
from ..engine.checkpoint_loader import read_weights, require_checkpoint
from ..utils.arguments import check_output
from ..utils.errors import UserError
from ..utils.extras import require
from ..utils.files import replaced_at_once

CONFIGS = {
    1: 'condseg/condseg-stage1_r50_official_1xb8-300e_kvasir-seg-256x256.py',
    2: 'condseg/condseg_r50_official_1xb12-300e_kvasir-seg-256x256.py',
}

# What is between braces in the rules: published -> ours, in the order of both sides.
_PARTS: dict[str, dict[str, str]] = {
    'i': {str(i): str(i) for i in range(10)},
    'n': {str(i + 1): str(i) for i in range(4)},  # counted from 1
    'next': {str(i): str(i + 1) for i in range(9)},
    'half': {str(2 * i): str(i) for i in range(5)},
    'conv': {'conv.0': 'conv', 'conv.1': 'bn'},
    'fc': {'fc1': 'mlp.0', 'fc2': 'mlp.2'},
    'last': {'c5': 'fuse', 'c6': 'shortcut'},
    'side': {'fg': 'fg', 'bg': 'bg'},
    'branch': {'fg': 'foreground', 'bg': 'background', 'uc': 'uncertainty'},
    'linear': {'v': 'value', 'attn_fg': 'attn_fg', 'attn_bg': 'attn_bg', 'proj': 'proj'},
    'ends': {'input_cbr': 'input_convs', 'output_cbr': 'output_convs'},
    'size': {'small': 'small', 'middle': 'middle', 'large': 'large'},
    'decoder': {'c1': 'merge', 'c2': 'conv2', 'c3': 'conv3', 'c4': 'conv4'},
    'output': {'fuse': 'fuse', 'c1': 'refine.0', 'c2': 'refine.1'},
}
_RULES = {
    'layer0.0': 'backbone.conv1',
    'layer0.1': 'backbone.bn1',
    'layer1.1.{rest}': 'backbone.layer1.{}',
    'layer2.{rest}': 'backbone.layer2.{}',
    'layer3.{rest}': 'backbone.layer3.{}',
    'dconv{n}.c{n}.0.{conv}': 'neck.enhance.{}.branches.{}.0.{}',
    'dconv{n}.c{n}.1.{fc}': 'neck.enhance.{}.branches.{}.1.{}',
    'dconv{n}.{last}.{conv}': 'neck.enhance.{}.{}.{}',
    'dconv{n}.sa.conv1': 'neck.enhance.{}.gate.conv',
    'decouple_layer.cbr_{branch}.{i}.{conv}': 'neck.sid.{}.{}.{}',
    'preprocess_{side}{n}.c1.{conv}': 'neck.adapt_{}.{}.convs.0.{}',
    'preprocess_{side}{n}.preprocess.conv_{next}.{conv}': 'neck.adapt_{}.{}.convs.{}.{}',
    'aux_head.branch_{branch}.{half}.{conv}': 'auxiliary_head.{}.convs.{}.{}',
    'aux_head.branch_{branch}.9': 'auxiliary_head.{}.conv_seg',
    'cdfa{n}.{linear}': 'neck.cdfa.{}.{}',
    'cdfa{n}.{ends}.{i}.{conv}': 'neck.cdfa.{}.{}.{}.{}',
    'decoder_{size}.{decoder}.{conv}': 'decode_head.{}.{}.{}',
    'decoder_{size}.ca.{fc}': 'decode_head.{}.gates.0.{}',
    'decoder_{size}.sa.conv1': 'decode_head.{}.gates.1.conv',
    'output_block.{output}.{conv}': 'decode_head.{}.{}',
    'output_block.c3': 'decode_head.conv_seg',
    # stage 1; its encoder has the names of stage 2
    'head.conv{n}.{conv}': 'decode_head.levels.{}.{}',
    'head.conv_fuse': 'decode_head.conv_seg',
}


def _compile(rule: str) -> tuple[re.Pattern[str], list[str]]:
    """The regular expression of a rule, and what its groups are."""
    literals = re.split(r'{\w+}', rule)
    parts = re.findall(r'{(\w+)}', rule)
    groups = ['|'.join(map(re.escape, _PARTS[part])) if part in _PARTS else '.+' for part in parts]
    pattern = ''.join(f'{re.escape(a)}({b})' for a, b in zip(literals, groups, strict=False))
    return re.compile(pattern + re.escape(literals[-1])), parts


_COMPILED = [(*_compile(rule), ours) for rule, ours in _RULES.items()]


def translate(name: str) -> str | None:
    """Give our name of one published state-dict entry, or None if it has none.

    Args:
        name: For instance ``cdfa4.v.weight``.

    Returns:
        For instance ``neck.cdfa.3.value.weight``.
    """
    stem, _, leaf = name.rpartition('.')
    for pattern, parts, ours in _COMPILED:
        if match := pattern.fullmatch(stem):
            found = zip(parts, match.groups(), strict=True)
            values = [_PARTS.get(part, {}).get(text, text) for part, text in found]
            return f'{ours.format(*values)}.{leaf}'
    return None


def convert(source: str | Path, target: str | Path, *, stage: int = 2, force: bool = False) -> int:
    """Convert a checkpoint.

    Every entry of the source is taken out one by one and every entry of our network must be
    filled. Use the result with the configs whose name has ``official``, or with the preprocessing
    that it was trained with (BGR, divided by 255).

    Args:
        source: Published checkpoint, read without running code.
        target: File to write: ``.pth`` in mmengine's form, or ``.safetensors`` (tensors and string
            meta). Its folder is made.
        stage: Which network it is, 1 or 2. Default 2.
        force: Replace ``target`` if it is there. Default False.

    Returns:
        Number of entries written.

    Raises:
        UserError: A path or the checkpoint cannot be used, or entries are left over on a side.
    """
    source, target = require_checkpoint(source), Path(target)
    if target.suffix not in ('.pth', '.safetensors'):
        raise UserError(f'DST must end in .pth or .safetensors, got {target}')
    if target.suffix == '.safetensors':
        require('safetensors.torch', 'a .safetensors file', 'safetensors')
    check_output('DST', target, [source], force)
    published = read_weights(source)
    ends = ('head.conv_fuse.weight' in published, 'output_block.c3.weight' in published)
    if ends[0] != ends[1] and not ends[stage - 1]:
        found = 1 + ends.index(True)
        raise UserError(f'{source} is of stage {found}: convert it with --stage {found}')
    state = convert_state(published, build_own(stage))
    save(state, target, source.name, stage)
    return len(state)


def convert_state(published: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fill our state dict from the published one.

    Args:
        published: Name -> tensor of the published network; not changed.
        own: State dict of our network: names, order and shapes of the result.

    Returns:
        State dict with the names and shapes of ``own``. Linear layers become 1x1 convolutions.

    Raises:
        UserError: Listing every entry without a partner on either side, and every wrong shape.
    """
    found: dict[str, Tensor] = {}
    left, problems = [], []
    for name, value in published.items():
        target = translate(name)
        if target is None or target not in own:
            left.append(name)
            continue
        if value.dim() == 2 and own[target].dim() == 4:
            value = value[:, :, None, None]
        if value.shape != own[target].shape:
            problems.append(
                f'{name} has shape {tuple(value.shape)}, {target} needs {tuple(own[target].shape)}'
            )
        found[target] = value
    problems += [f'left over in the published checkpoint: {name}' for name in left]
    problems += [f'not filled in our network: {name}' for name in own if name not in found]
    if problems:
        raise UserError(f'{len(problems)} entries do not match:\n  ' + '\n  '.join(problems))
    return {name: found[name] for name in own}


def build_own(stage: int = 2) -> dict[str, Tensor]:
    """Build our network of stage 1 or 2 from its config and return its state dict."""
    init_default_scope('mmseg')
    return MODELS.build(read_config(config_dir() / CONFIGS[stage]).model).state_dict()


def save(state: dict[str, Tensor], path: Path, source: str, stage: int = 2) -> None:
    """Write ``.safetensors`` or ``.pth`` at once, and make the folder.

    Args:
        state: Name -> tensor.
        path: Destination; the suffix chooses.
        source: Name of the converted file, kept in the meta.
        stage: 1 or 2; its config is named in the meta. Default 2.
    """
    meta = {'converted_from': source, 'config': CONFIGS[stage]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_at_once(path) as temporary:
        if path.suffix == '.safetensors':
            from safetensors.torch import save_file

            save_file({k: v.contiguous() for k, v in state.items()}, temporary, metadata=meta)
        else:
            classes = {'dataset_meta': dict(BinaryMedicalDataset.METAINFO)}
            torch.save({'meta': meta | classes, 'state_dict': state}, temporary)
