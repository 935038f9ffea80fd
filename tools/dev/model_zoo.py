"""Write or check the metafiles of the configs and the tables made from them.

python tools/dev/model_zoo.py [--check | --write] [--quick]

The zoo is configs/*/metafile.yml, model-index.yml, and what is between the lines <!-- zoo --> and
<!-- /zoo --> of docs/models.md and of the READMEs beside the configs. Of a metafile Collections is
written by hand, and with it the paper's scores (Reported Results), which are the only ones in it.
Models is written by --write from the configs: parameters, of the parts for training apart, and
multiply-adds of one image at the input size, as mmengine counts them (see zoo_complexity.py).
Results of ours are in docs/results.

--check, the default, writes nothing, names what is out of step and then exits with 1. Building
every distinct network once takes a minute or two on one core. --quick believes the parameters and
multiply-adds that the metafiles have and takes seconds.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

import yaml
from dev_common import ROOT, replace_block
from mmengine.config import Config
from zoo_complexity import input_size, measure, network_key
from zoo_tables import DATASETS, ENCODERS, ablations, condseg, models_page

from condseg_mmseg.configs import list_configs, read_config
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import write_text

HEADER = '# Models are written by tools/dev/model_zoo.py, Collections by hand.\n'
MEASURED = ('Parameters', 'Training-only Parameters', 'FLOPs', 'Training-only FLOPs')
NAME = re.compile(
    r'(?P<method>[a-z0-9-]+?)(?P<stage1>-stage1)?_(?P<encoder>[a-z0-9]+)'
    r'(_(?P<preset>official|paper))?_(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<epochs>\d+)e'
    r'_(?P<data>[a-z0-9-]+?)(-to-(?P<test_data>[a-z0-9-]+))?-(?P<height>\d+)x(?P<width>\d+)'
)
Model = dict[str, Any]


def parse_name(stem: str) -> dict[str, Any]:
    """Take the name of a config apart, into the groups of :data:`NAME`; None for an absent one.

    Raises:
        UserError: The name does not follow the pattern, or an encoder or data set has no title.
    """
    match = NAME.fullmatch(stem)
    if match is None:
        raise UserError(
            f'{stem}: not METHOD[-stage1]_ENCODER[_PRESET]_GPUSxbBATCH-EPOCHSe_DATA-HEIGHTxWIDTH'
        )
    parts = match.groupdict()
    for key, titles in (('encoder', ENCODERS), ('data', DATASETS), ('test_data', DATASETS)):
        if parts[key] is not None and parts[key] not in titles:
            raise UserError(f'{stem}: no title for {parts[key]!r}, add one to zoo_tables.py')
    return parts


def describe(path: Path) -> str:
    """First sentence of the comment that a config opens with; '' where it has none."""
    lines = takewhile(lambda line: line[:1] == '#', path.read_text(encoding='utf-8').splitlines())
    comment = ''.join(line.lstrip('#') for line in lines)
    text = comment.strip().removeprefix('Ablation: ')
    return re.split(r'(?<=\.)\s|\.$', text)[0].rstrip('.')


class Zoo:
    """What the files of the zoo should say.

    Args:
        root: Checkout.
        quick: Believe the parameters and multiply-adds that the metafiles have.
    """

    def __init__(self, root: Path, quick: bool) -> None:
        self.root, self.quick = root, quick
        self.weights = {
            json.loads(path.read_text(encoding='utf-8'))['config']: path.with_suffix('.safetensors')
            for path in sorted(root.glob('weights/condseg_mmseg_weights/*.json'))
        }
        self._measured: dict[str, Model] = {}  # each distinct network once

    def numbers(self, name: str, config: Config, recorded: dict[str, Model]) -> Model:
        """Parameters and multiply-adds; ``recorded``: ``Metadata`` in its metafile, by name."""
        if self.quick:
            known = recorded.get(name, {})
            if not {'Parameters', 'FLOPs'} <= known.keys():
                raise UserError(
                    f'{name}: its metafile has no parameters and FLOPs yet; run without --quick'
                )
            return {key: known[key] for key in MEASURED if key in known}
        key = network_key(config)
        if key not in self._measured:
            print(f'measuring {name}', file=sys.stderr, flush=True)
            self._measured[key] = measure(config)
        return self._measured[key]

    def entry(self, path: Path, collection: Model, recorded: dict[str, Model]) -> Model:
        """One item of ``Models``."""
        config, parts = read_config(path), parse_name(path.stem)
        metadata: Model = {'Training Data': DATASETS[parts['data']]}
        if parts['test_data']:
            metadata['Test Data'] = DATASETS[parts['test_data']]
        if parts['method'] == 'condseg':
            metadata['Stage'] = 1 if parts['stage1'] else 2
            metadata['Preset'] = parts['preset'] or 'default'
        if description := describe(path):
            metadata['Description'] = description
        metadata |= {
            'Encoder': ENCODERS[parts['encoder']],
            'Epochs': config.train_cfg.max_epochs,
            'Batch Size': int(parts['gpus']) * config.train_dataloader.batch_size,
            'Input Size': list(input_size(config)),
            **self.numbers(path.stem, config, recorded),
        }
        model = {
            'Name': path.stem,
            'In Collection': collection['Name'],
            'Config': path.relative_to(self.root).as_posix(),
            'Metadata': metadata,
        }
        if path.stem in self.weights:
            model['Weights'] = self.weights[path.stem].relative_to(self.root).as_posix()
        reported = collection.get('Reported Results')
        if reported and (metadata.get('Stage'), metadata.get('Preset')) == (2, 'paper'):
            model['Results'] = [
                {'Task': 'Semantic Segmentation', **result, 'Source': reported['Source']}
                for result in reported['Results']
                if result['Dataset'] == metadata['Training Data']
            ]
        return model

    def expected(self) -> dict[Path, str]:
        """Make the text that every file of the zoo should have."""
        texts: dict[Path, str] = {}
        models: dict[str, list[Model]] = {}
        results: list[Model] = []
        for name in dict.fromkeys(p.parent.name for p in list_configs(self.root / 'configs')):
            metafile = self.root / 'configs' / name / 'metafile.yml'
            meta = yaml.safe_load(metafile.read_text(encoding='utf-8'))
            (collection,) = meta['Collections']
            recorded = {model['Name']: model['Metadata'] for model in meta.get('Models') or []}
            models[name] = [
                self.entry(path, collection, recorded) for path in list_configs(metafile.parent)
            ]
            trained = {model['Metadata']['Training Data'] for model in models[name]}
            collection['Metadata']['Training Data'] = [x for x in DATASETS.values() if x in trained]
            meta = {'Collections': [collection], 'Models': models[name]}
            texts[metafile] = HEADER + yaml.dump(
                meta, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
            )
            if name == 'condseg':
                results = collection['Reported Results']['Results']
        index = {'Import': sorted(path.relative_to(self.root).as_posix() for path in texts)}
        texts[self.root / 'model-index.yml'] = yaml.safe_dump(index)
        tables = {
            'configs/condseg/README.md': condseg(models['condseg'], results),
            'configs/ablations/README.md': ablations(models['ablations']),
            'docs/models.md': models_page(models['condseg'], results),
        }
        for file, table in tables.items():
            path = self.root / file
            texts[path] = replace_block(path.read_text(encoding='utf-8'), 'zoo', table)
        return texts


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice, and indents no list, as metafiles are written."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def compare(texts: dict[Path, str], root: Path) -> list[str]:
    """A line for each file that is out of step, with the first of its lines that is."""
    problems = []
    for path, text in texts.items():
        old = path.read_text(encoding='utf-8') if path.is_file() else ''
        lines = zip_longest(old.splitlines(), text.splitlines())
        for i, (has, wants) in enumerate(lines, 1):
            if has != wants:
                has, wants = ('nothing' if x is None else repr(x.strip()) for x in (has, wants))
                name = path.relative_to(root)
                problems.append(f'{name}:{i} has {has} where the configs give {wants}')
                break
    return problems


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 1 where ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument('--check', action='store_true', help='name what is out of step (default)')
    action.add_argument('--write', action='store_true', help='bring all files up to date')
    parser.add_argument('--quick', action='store_true', help='build no network')
    args = parser.parse_args(argv)
    try:
        texts = Zoo(ROOT, args.quick).expected()
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    problems = compare(texts, ROOT)
    print('\n'.join(problems) or 'metafiles, model-index.yml and tables are up to date')
    if args.write:
        for path, text in texts.items():
            write_text(path, text)
    return int(bool(problems) and not args.write)


if __name__ == '__main__':
    sys.exit(main())
