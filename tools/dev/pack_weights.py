"""Pack a checkpoint of a finished run into the distribution condseg-mmseg-weights.

    python tools/dev/pack_weights.py RUN NAME [--unaveraged] [--note TEXT] [--force]

RUN is a folder of run_queue.py, such as runs/table/ConDSeg-two-stages/seed0. Its last checkpoint
becomes NAME.safetensors, with the config (NAME.py) and a description (NAME.json: scores, SHA-256,
commit). The packed files are scored on data/kvasir-seg (val.txt) and data/cvc-clinicdb-odd
(all.txt); the scores of every image go to docs/results/weights, and README.md, the model card, is
written anew.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from dev_common import ROOT, trained, unaveraged
from evidence_runs import UNSEEN
from mmengine.config import Config
from run_files import compact
from run_queue import EXTRA, METRIC

from condseg_mmseg.apis.evaluate_checkpoint import evaluate_checkpoint
from condseg_mmseg.engine.checkpoint_loader import read_weights
from condseg_mmseg.utils.arguments import check_output
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import replaced_at_once, sha256, write_json, write_text

VAL = {'test_dataloader.dataset.ann_file': 'val.txt'}
SETS = {
    'val': ('Kvasir-SEG, the 120 images of val.txt, which were not trained on', VAL),
    'unseen': ('CVC-ClinicDB, odd-numbered sequences: 329 frames of 15 unseen videos', UNSEEN),
}
CARD = """\
# condseg-mmseg-weights {version}

{note}

`{name}.safetensors` is the network of the config `{config}`:
{parameters:.2f} million parameters, input {size}. It marks polyps in frames of a colonoscopy.

```python
from condseg_mmseg.apis import pretrained
from mmseg.apis import inference_model

network = pretrained('{name}')
mask = inference_model(network, 'frame.jpg').pred_sem_seg.data  # (1, H, W), 1 is polyp
```

| scored on | images | mDice | mIoU |
| --- | --- | --- | --- |
{rows}

Percent, per image at the input size, threshold 0.5, then averaged over the images. Scores of every
image: `docs/results/weights` of the repository of condseg-mmseg.

* **Trained on**: {training}.
* **Weights**: {kind}, seed {seed}, from commit {commit}.
* **Limits**: one hospital, small images, a small network. Other endoscopes, light and preparation
  may give much worse masks. Nearly every training image shows a polyp, so frames without one may
  get false marks. No medical device: not for diagnosis or treatment.
* **Terms**: for research and education, see LICENSE. Images of Kvasir-SEG: Jha et al., MMM 2020,
  and Borgli et al., HyperKvasir, Scientific Data 7, 283, 2020 (CC BY 4.0).
* **SHA-256**: `{sha256}`
"""


def pack(
    run: Path, name: str, folder: Path, plain: bool = False, force: bool = False
) -> dict[str, Any]:
    """Write weights, config and description of a network; scores are still missing.

    Args:
        run: Folder of a finished run.
        name: Of the network.
        folder: Of the package.
        plain: Take the weights without their average. Default False.
        force: Replace the files of an earlier version. Default False.

    Returns:
        The description.

    Raises:
        UserError: The run has no checkpoint, or there are such files.
    """
    from safetensors.torch import save_file

    check_output('NAME', folder / f'{name}.safetensors', [], force)
    file, checkpoint = trained(run)
    meta = torch.load(checkpoint, map_location='cpu', weights_only=True)['meta']
    with tempfile.TemporaryDirectory() as temporary:
        source = unaveraged(checkpoint, Path(temporary) / 'x.pth') if plain else checkpoint
        state = read_weights(source)
    state = {key: value.contiguous() for key, value in state.items()}
    config = Config.fromfile(file)
    config.model.backbone.update(init_cfg=None)
    if 'pretrained' in config.model.backbone or config.model.backbone.type == 'EfficientNetLite':
        config.model.backbone.pretrained = False  # all weights are here
    with replaced_at_once(folder / f'{name}.safetensors') as part:
        save_file(state, part, {'format': 'pt', 'name': name})
    write_text(folder / f'{name}.py', config.pretty_text)
    train = config.train_dataloader.dataset
    record = {
        'name': name,
        'sha256': sha256(folder / f'{name}.safetensors'),
        'weights': 'last checkpoint, ' + ('not averaged' if plain else 'averaged'),
        'seed': config.randomness.seed,
        'iterations': meta['iter'],
        'epochs': meta['epoch'],
        'trained_on': f'{train.data_root}{train.ann_file}',
        'input_size': list(config.model.data_preprocessor.size),
        'dataset_meta': dict(meta['dataset_meta']),
    }
    write_json(folder / f'{name}.json', record)
    return record


def score(folder: Path, name: str, results: Path) -> dict[str, Any]:
    """Score the packed files, and write the scores of every image.

    Returns:
        By data set: ``on``, ``images``, ``mDice`` and ``mIoU``.
    """
    scores = {}
    # one folder for both: mmengine keeps its visualizer, and with it the first one
    with tempfile.TemporaryDirectory() as temporary:
        for key, (what, options) in SETS.items():
            file = Path(temporary) / f'{key}.csv'
            found = evaluate_checkpoint(
                folder / f'{name}.py', folder / f'{name}.safetensors',
                cfg_options={**options, f'{METRIC}.extra_metrics': EXTRA},
                csv=file, work_dir=temporary,
            )  # fmt: skip
            write_text(results / f'{name}_{key}.csv', compact(file.read_text(encoding='utf-8')))
            rounded = {
                kind: round(found['results'][f'image/{kind}'], 2) for kind in ('mDice', 'mIoU')
            }
            scores[key] = {'on': what, 'images': found['images'], **rounded}
    return scores


def card(record: dict[str, Any], version: str) -> str:
    """Write the model card of a description."""
    rows = [
        f'| {s["on"]} | {s["images"]} | {s["mDice"]:.1f} | {s["mIoU"]:.1f} |'
        for s in record['scores'].values()
    ]
    width, height = record['input_size'][::-1]
    return CARD.format(
        version=version, note=record['note'], name=record['name'], config=record['config'],
        parameters=record['parameters_m'], size=f'{width} x {height}', rows='\n'.join(rows),
        training=f'{record["trained_on"]}, {record["epochs"]} epochs, '
        f'{record["iterations"]} steps,\n  from an encoder pretrained on ImageNet',
        kind=record['weights'], seed=record['seed'], commit=record['commit'][:12],
        sha256=record['sha256'],
    )  # fmt: skip


def version_of(weights: Path) -> str:
    """The version of the distribution."""
    text = (weights / 'pyproject.toml').read_text(encoding='utf-8')
    return re.findall(r'(?m)^version = "(.+)"$', text)[0]


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('run', type=Path, metavar='RUN')
    add('name', metavar='NAME', help='such as condseg_lite0_polyp')
    add('--unaveraged', action='store_true', help='the weights beside their average')
    add('--config', metavar='NAME', help='name of the config, where it was renamed')
    add('--note', default='', metavar='TEXT', help='first sentences of the model card')
    add('--force', action='store_true', help='replace the files of an earlier version')
    add('--to', type=Path, default=ROOT, metavar='DIR', help='checkout; default: that of this tool')
    args = parser.parse_args(argv)
    weights = args.to / 'weights'
    folder = weights / 'condseg_mmseg_weights'
    try:
        run = Config.fromfile(args.run / 'run.json')
        record = pack(args.run, args.name, folder, args.unaveraged, args.force)
        record |= {
            'config': args.config or run.config,
            'parameters_m': run.parameters_m,
            'commit': run.environment.commit,
            'note': args.note,
        }
        record['scores'] = score(folder, args.name, args.to / 'docs' / 'results' / 'weights')
        write_json(folder / f'{args.name}.json', record)
        write_text(weights / 'README.md', card(record, version_of(weights)))
    except (UserError, FileNotFoundError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
