"""Turn a published ConDSeg (ResNet-50) checkpoint into one for our configs.

    python tools/model_converters/condseg2mmseg.py SRC.pth DST.pth|DST.safetensors [--stage 1|2]

Stage 1 is the encoder with its light head (``ConsistencyReinforcement``), stage 2 the whole of
ConDSeg. A converted stage 1 hands its encoder to stage 2 as one of our own does.

Every entry of SRC is taken out one by one and every entry of our network must be filled; whatever
is left on either side is listed and nothing is written. SRC is read with ``weights_only=True``: a
checkpoint that would run code is refused. Convert with the configs whose name has ``official``, or
set the preprocessing it was trained with (BGR, divided by 255) in your own. mmseg's scripts and API
read the ``.pth``; ``.safetensors`` is for other programs.
"""

import argparse
import importlib.util
import os
import re
from pathlib import Path

import torch
from torch import Tensor

from condseg_mmseg.utils.arguments import refuse_inputs

CONFIGS = {
    1: 'condseg/condseg-stage1_r50_official_1xb8-300e_kvasir-seg-256x256.py',
    2: 'condseg/condseg_r50_official_1xb12-300e_kvasir-seg-256x256.py',
}

_BRANCH = {'fg': 'foreground', 'bg': 'background', 'uc': 'uncertainty'}
_CONV = {'conv.0': 'conv', 'conv.1': 'bn'}
_DECODER = {'c1': 'merge', 'c2': 'conv2', 'c3': 'conv3', 'c4': 'conv4'}
_OUTPUT = {'fuse': 'fuse', 'c1': 'refine.0', 'c2': 'refine.1'}


def _down(number: str) -> int:
    return int(number) - 1


# published name (regular expression) -> our name; the leaf (weight, bias, ...) is matched last
_RULES = [
    (r'layer0\.0', lambda m: 'backbone.conv1'),
    (r'layer0\.1', lambda m: 'backbone.bn1'),
    (r'layer1\.1\.(.+)', lambda m: f'backbone.layer1.{m[1]}'),
    (r'layer([23])\.(.+)', lambda m: f'backbone.layer{m[1]}.{m[2]}'),
    (
        r'dconv(\d)\.c([1-4])\.0\.(conv\.[01])',
        lambda m: f'neck.enhance.{_down(m[1])}.branches.{_down(m[2])}.0.{_CONV[m[3]]}',
    ),
    (
        r'dconv(\d)\.c([1-4])\.1\.fc([12])',
        lambda m: f'neck.enhance.{_down(m[1])}.branches.{_down(m[2])}.1.mlp.{2 * _down(m[3])}',
    ),
    (
        r'dconv(\d)\.c([56])\.(conv\.[01])',
        lambda m: (
            f'neck.enhance.{_down(m[1])}.{"fuse" if m[2] == "5" else "shortcut"}.{_CONV[m[3]]}'
        ),
    ),
    (r'dconv(\d)\.sa\.conv1', lambda m: f'neck.enhance.{_down(m[1])}.gate.conv'),
    (
        r'decouple_layer\.cbr_(fg|bg|uc)\.(\d)\.(conv\.[01])',
        lambda m: f'neck.sid.{_BRANCH[m[1]]}.{m[2]}.{_CONV[m[3]]}',
    ),
    (
        r'preprocess_(fg|bg)(\d)\.c1\.(conv\.[01])',
        lambda m: f'neck.adapt_{m[1]}.{_down(m[2])}.convs.0.{_CONV[m[3]]}',
    ),
    (
        r'preprocess_(fg|bg)(\d)\.preprocess\.conv_(\d)\.(conv\.[01])',
        lambda m: f'neck.adapt_{m[1]}.{_down(m[2])}.convs.{int(m[3]) + 1}.{_CONV[m[4]]}',
    ),
    (
        r'aux_head\.branch_(fg|bg|uc)\.([02468])\.(conv\.[01])',
        lambda m: f'auxiliary_head.{_BRANCH[m[1]]}.convs.{int(m[2]) // 2}.{_CONV[m[3]]}',
    ),
    (r'aux_head\.branch_(fg|bg|uc)\.9', lambda m: f'auxiliary_head.{_BRANCH[m[1]]}.conv_seg'),
    (r'cdfa(\d)\.v', lambda m: f'neck.cdfa.{_down(m[1])}.value'),
    (r'cdfa(\d)\.(attn_fg|attn_bg|proj)', lambda m: f'neck.cdfa.{_down(m[1])}.{m[2]}'),
    (
        r'cdfa(\d)\.(input|output)_cbr\.(\d)\.(conv\.[01])',
        lambda m: f'neck.cdfa.{_down(m[1])}.{m[2]}_convs.{m[3]}.{_CONV[m[4]]}',
    ),
    (
        r'decoder_(small|middle|large)\.(c[1-4])\.(conv\.[01])',
        lambda m: f'decode_head.{m[1]}.{_DECODER[m[2]]}.{_CONV[m[3]]}',
    ),
    (
        r'decoder_(small|middle|large)\.ca\.fc([12])',
        lambda m: f'decode_head.{m[1]}.gates.0.mlp.{2 * _down(m[2])}',
    ),
    (r'decoder_(small|middle|large)\.sa\.conv1', lambda m: f'decode_head.{m[1]}.gates.1.conv'),
    (
        r'output_block\.(fuse|c1|c2)\.(conv\.[01])',
        lambda m: f'decode_head.{_OUTPUT[m[1]]}.{_CONV[m[2]]}',
    ),
    (r'output_block\.c3', lambda m: 'decode_head.conv_seg'),
    # stage 1; its encoder has the names of stage 2
    (
        r'head\.conv(\d)\.(conv\.[01])',
        lambda m: f'decode_head.levels.{_down(m[1])}.{_CONV[m[2]]}',
    ),
    (r'head\.conv_fuse', lambda m: 'decode_head.conv_seg'),
]


def translate(name: str) -> str | None:
    """Give our name of one published state-dict entry, or None if it has none.

    Args:
        name: For instance ``cdfa4.v.weight``.

    Returns:
        For instance ``neck.cdfa.3.value.weight``.
    """
    stem, _, leaf = name.rpartition('.')
    for pattern, rename in _RULES:
        match = re.fullmatch(pattern, stem)
        if match:
            return f'{rename(match)}.{leaf}'
    return None


def stage_of(published: dict[str, Tensor]) -> int | None:
    """Tell the stage of a published state dict by its last layer.

    Args:
        published: Name -> tensor.

    Returns:
        1 or 2, or None where neither is there (or both are).
    """
    first, second = 'head.conv_fuse.weight' in published, 'output_block.c3.weight' in published
    return None if first == second else 1 if first else 2


def convert(published: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fill our state dict from the published one.

    Args:
        published: Name -> tensor of the published network; not changed.
        own: State dict of our network: names, order and shapes of the result.

    Returns:
        State dict with the names and shapes of ``own``. Linear layers become 1x1 convolutions.

    Raises:
        ValueError: Listing every entry without a partner on either side, and every wrong shape.
    """
    left = dict(published)
    found: dict[str, Tensor] = {}
    problems = []
    for name in published:
        target = translate(name)
        if target not in own:
            continue
        value = left.pop(name)
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
        raise ValueError(f'{len(problems)} entries do not match:\n  ' + '\n  '.join(problems))
    return {name: found[name] for name in own}


def load_published(path: Path) -> dict[str, Tensor]:
    """Read a published checkpoint safely, with or without ``state_dict`` and ``module.`` wrappers.

    Args:
        path: A ``torch.save`` file.

    Returns:
        Name -> tensor.

    Raises:
        ValueError: It is not a checkpoint of tensors.
    """
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise ValueError(
            f'{path} cannot be read as a checkpoint of plain tensors: it is none, or truncated, or '
            f'holds what the safe load of torch refuses ({_reason(error)})'
        ) from error
    for key in ('state_dict', 'model'):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f'{path} holds no state dict (name -> tensor)')
    return {name.removeprefix('module.'): value for name, value in state.items()}


def _reason(error: Exception) -> str:
    """The kind of an error of torch's loader and its first sentence.

    Behind it torch advises to set weights_only=False or to file an issue; where it does so from the
    start, the plain error is the one that this one was raised for.
    """
    text = str(error.__context__ or error)
    first = re.split(r'\.\s', ' '.join(text.split()))[0].rstrip('.')
    return f'{type(error).__name__}: {first}' if first else type(error).__name__


def build_own(stage: int = 2) -> dict[str, Tensor]:
    """Build our network of stage 1 or 2 from its config and return its state dict."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    from condseg_mmseg.configs import config_dir

    init_default_scope('mmseg')
    return MODELS.build(Config.fromfile(config_dir() / CONFIGS[stage]).model).state_dict()


def save(state_dict: dict[str, Tensor], path: Path, source: str, stage: int = 2) -> None:
    """Write atomically: ``.safetensors`` (tensors and string meta) or ``.pth`` (mmengine's form).

    Args:
        state_dict: Name -> tensor.
        path: Destination; the suffix chooses.
        source: Name of the converted file, kept in the meta.
        stage: 1 or 2; its config is named in the meta.
    """
    meta = {'converted_from': source, 'config': CONFIGS[stage]}
    part = path.with_name(f'{path.name}.part')
    if path.suffix == '.safetensors':
        from safetensors.torch import save_file

        save_file({k: v.contiguous() for k, v in state_dict.items()}, part, metadata=meta)
    else:
        from condseg_mmseg.datasets import BinaryMedicalDataset

        meta['dataset_meta'] = dict(BinaryMedicalDataset.METAINFO)
        torch.save({'meta': meta, 'state_dict': state_dict}, part)
    os.replace(part, path)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', type=Path, help='published checkpoint')
    parser.add_argument('dst', type=Path, help='file to write, .pth or .safetensors')
    parser.add_argument(
        '--stage', type=int, choices=(1, 2), default=2, help='which network it is (default: 2)'
    )
    args = parser.parse_args(argv)
    if not args.src.is_file():
        parser.error(f'SRC {args.src} does not exist')
    if args.dst.suffix not in ('.pth', '.safetensors'):
        parser.error(f'DST must end in .pth or .safetensors, got {args.dst}')
    if args.dst.suffix == '.safetensors' and importlib.util.find_spec('safetensors') is None:
        parser.error('a .safetensors file needs: pip install "condseg-mmseg[safetensors]"')
    if not args.dst.absolute().parent.is_dir():
        parser.error(f'folder of DST {args.dst} does not exist')
    try:
        refuse_inputs('DST', args.dst, [args.src])
        published = load_published(args.src)
        found = stage_of(published)
        if found not in (None, args.stage):
            raise ValueError(f'{args.src} is of stage {found}: convert it with --stage {found}')
        state_dict = convert(published, build_own(args.stage))
    except ValueError as error:
        parser.exit(1, f'{parser.prog}: error: {error}\n')
    save(state_dict, args.dst, args.src.name, args.stage)
    print(f'{len(state_dict)} entries written to {args.dst}')


if __name__ == '__main__':
    main()
