"""Write or check the metafiles of the configs and the tables made from them.

    python tools/analysis_tools/model_zoo.py [--check | --write] [--quick]

The zoo is ``configs/*/metafile.yml``, ``model-index.yml``, and what stands between the lines
``<!-- zoo -->`` and ``<!-- /zoo -->`` of README.md and of the READMEs beside the configs. Of a
metafile ``Collections`` is written by hand, and with it the paper's scores (``Reported Results``),
which are the only ones in it. ``Models`` is written by ``--write`` from the configs: parameters, of
the parts for training apart, and multiply-adds of one image at the input size, as mmengine counts
them (see _zoo_complexity.py). Results of ours stand in docs/results.

``--check``, the default, writes nothing, names what is out of step and then exits with 1. Building
every distinct network once takes a minute or two on one core. ``--quick`` believes the parameters
and multiply-adds that the metafiles have and takes seconds.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import yaml
from _ablation_report import write
from _zoo_complexity import input_size, measure, network_key
from _zoo_tables import DATASETS, ENCODERS, ablations, condseg, front_page
from mmengine.config import Config
from summarize_runs import replace_table

from condseg_mmseg.configs import list_configs

ROOT = Path(__file__).resolve().parents[2]
MARKERS = ('<!-- zoo -->', '<!-- /zoo -->')
HEADER = '# Models are written by tools/analysis_tools/model_zoo.py, Collections by hand.\n'
MEASURED = ('Parameters', 'Training-only Parameters', 'FLOPs', 'Training-only FLOPs')
NAME = re.compile(
    r'(?P<method>[a-z0-9-]+?)(?P<stage1>-stage1)?_(?P<encoder>[a-z0-9]+)'
    r'(_(?P<preset>official|paper))?_(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<epochs>\d+)e'
    r'_(?P<data>[a-z0-9-]+?)(-to-(?P<test_data>[a-z0-9-]+))?-(?P<height>\d+)x(?P<width>\d+)'
)


def parse_name(stem: str) -> dict[str, str | None]:
    """Take the name of a config apart.

    Args:
        stem: File name without ``.py``.

    Returns:
        The groups of :data:`NAME`; None where one is absent.

    Raises:
        ValueError: The name does not follow the pattern, or an encoder or data set has no title.
    """
    match = NAME.fullmatch(stem)
    if match is None:
        raise ValueError(
            f'{stem}: not METHOD[-stage1]_ENCODER[_PRESET]_GPUSxbBATCH-EPOCHSe_DATA-HEIGHTxWIDTH'
        )
    parts = match.groupdict()
    for key, titles in (('encoder', ENCODERS), ('data', DATASETS), ('test_data', DATASETS)):
        if parts[key] is not None and parts[key] not in titles:
            raise ValueError(f'{stem}: no title for {parts[key]!r}, add one to _zoo_tables.py')
    return parts


def describe(path: Path) -> str:
    """First sentence of the comment that a config opens with; '' where it has none."""
    comment = ''
    for line in path.read_text(encoding='utf-8').splitlines():
        if not line.startswith('#'):
            break
        comment += line.lstrip('#')
    return re.split(r'(?<=\.)\s|\.$', comment.strip().removeprefix('Ablation: '))[0].rstrip('.')


def entry(path: Path, root: Path, collection: dict, numbers: Callable[[Config], dict]) -> dict:
    """Describe one config as a metafile does.

    Args:
        path: Config.
        root: Checkout.
        collection: Of its metafile.
        numbers: Gives parameters and multiply-adds of a config.

    Returns:
        One item of ``Models``.
    """
    config = Config.fromfile(path)
    parts = parse_name(path.stem)
    metadata = {'Training Data': DATASETS[parts['data']]}
    if parts['test_data']:
        metadata['Test Data'] = DATASETS[parts['test_data']]
    if parts['method'] == 'condseg':
        metadata |= {
            'Stage': 1 if parts['stage1'] else 2, 'Preset': parts['preset'] or 'default'
        }  # fmt: skip
    if describe(path):
        metadata['Description'] = describe(path)
    metadata |= {
        'Encoder': ENCODERS[parts['encoder']],
        'Epochs': config.train_cfg.max_epochs,
        'Batch Size': int(parts['gpus']) * config.train_dataloader.batch_size,
        'Input Size': list(input_size(config)),
        **numbers(config),
    }
    model = {
        'Name': path.stem,
        'In Collection': collection['Name'],
        'Config': path.relative_to(root).as_posix(),
        'Metadata': metadata,
    }
    reported = collection.get('Reported Results')
    if reported and (metadata.get('Stage'), metadata.get('Preset')) == (2, 'paper'):
        model['Results'] = [
            {
                'Task': 'Semantic Segmentation',
                'Dataset': result['Dataset'],
                'Metrics': dict(result['Metrics']),
                'Source': reported['Source'],
            }
            for result in reported['Results']
            if result['Dataset'] == metadata['Training Data']
        ]
    return model


def read_metafile(path: Path) -> dict:
    """Read a metafile.

    Raises:
        ValueError: It is missing, cannot be read or has no collection, or more than one.
    """
    try:
        meta = yaml.safe_load(path.read_text(encoding='utf-8'))
        (collection,) = meta['Collections']
        collection['Name'], collection['Metadata']
    except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        reason = ' '.join(str(error).split())
        raise ValueError(
            f'{path}: not a metafile with one collection of Name and Metadata ({reason})'
        ) from error
    return meta


class Numbers:
    """Parameters and multiply-adds of configs, each distinct network measured once.

    Args:
        quick: Take what the metafiles have instead.
        verbose: Say which network is measured.
    """

    def __init__(self, quick: bool, verbose: bool = False) -> None:
        self.quick = quick
        self.verbose = verbose
        self._measured: dict[str, dict] = {}

    def of(self, path: Path, recorded: dict[str, dict]) -> Callable[[Config], dict]:
        """A function that gives the numbers of the config at ``path``.

        Args:
            path: Config.
            recorded: ``Metadata`` of the models in its metafile, by name.
        """

        def numbers(config: Config) -> dict:
            if self.quick:
                known = recorded.get(path.stem, {})
                if not {'Parameters', 'FLOPs'} <= known.keys():
                    raise ValueError(
                        f'{path}: its metafile has no parameters and FLOPs yet; run without --quick'
                    )
                return {key: known[key] for key in MEASURED if key in known}
            key = network_key(config)
            if key not in self._measured:
                if self.verbose:
                    print(f'measuring {path.stem}', file=sys.stderr, flush=True)
                self._measured[key] = measure(config)
            return self._measured[key]

        return numbers


def expected(root: Path, numbers: Numbers) -> dict[Path, str]:
    """Make the text that every file of the zoo should have.

    Args:
        root: Checkout.
        numbers: Where parameters and multiply-adds come from.

    Raises:
        ValueError: A file is missing or not as it must be to be filled in.
    """
    texts: dict[Path, str] = {}
    folders: dict[str, list[dict]] = {}
    for path in list_configs(root / 'configs'):
        folders.setdefault(path.parent.name, [])
    absent = [f'configs/{name}/*.py' for name in ('condseg', 'ablations') if name not in folders]
    if absent:
        raise ValueError(f'{root} is no checkout of this project: it has no {", no ".join(absent)}')
    for name, models in folders.items():
        metafile = root / 'configs' / name / 'metafile.yml'
        meta = read_metafile(metafile)
        (collection,) = meta['Collections']
        recorded = {model['Name']: model['Metadata'] for model in meta.get('Models') or []}
        for path in list_configs(metafile.parent):
            models.append(entry(path, root, collection, numbers.of(path, recorded)))
        trained = {model['Metadata']['Training Data'] for model in models}
        collection['Metadata']['Training Data'] = [x for x in DATASETS.values() if x in trained]
        meta = {'Collections': [collection], 'Models': models}
        texts[metafile] = HEADER + yaml.dump(
            meta, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
        )
        if name == 'condseg':
            try:
                reported = collection['Reported Results']['Results']
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f"{metafile}: its collection has no Results under Reported Results, the paper's"
                ) from error
    index = {'Import': sorted(path.relative_to(root).as_posix() for path in texts)}
    texts[root / 'model-index.yml'] = yaml.safe_dump(index)
    tables = {
        root / 'configs' / 'condseg' / 'README.md': condseg(folders['condseg'], reported),
        root / 'configs' / 'ablations' / 'README.md': ablations(folders['ablations']),
        root / 'README.md': front_page(folders['condseg'], reported),
    }
    for path, table in tables.items():
        try:
            texts[path] = replace_table(path.read_text(encoding='utf-8'), table, *MARKERS)
        except (OSError, ValueError) as error:
            raise ValueError(f'{path}: {error}') from error
    return texts


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice, and indents no list, as metafiles are written."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def compare(texts: dict[Path, str], root: Path) -> list[str]:
    """Name what is out of step.

    Args:
        texts: What :func:`expected` returns.
        root: Checkout.

    Returns:
        A line for each file that differs, with the first line that does.
    """
    problems = []
    for path, text in texts.items():
        old = path.read_text(encoding='utf-8') if path.is_file() else ''
        if old == text:
            continue
        before, after = old.splitlines(), text.splitlines()
        pairs = enumerate(zip(before, after, strict=False))
        same = next((i for i, (a, b) in pairs if a != b), min(len(before), len(after)))
        has, wants = (
            repr(x[same].strip()) if same < len(x) else 'nothing' for x in (before, after)
        )
        problems.append(
            f'{path.relative_to(root)}:{same + 1} has {has} where the configs give {wants}'
        )
    return problems


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        1 where ``--check`` finds a difference, else 0.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument('--check', action='store_true', help='name what is out of step (default)')
    action.add_argument('--write', action='store_true', help='bring all files up to date')
    parser.add_argument('--quick', action='store_true', help='build no network')
    parser.add_argument('--root', type=Path, default=ROOT, help='checkout; default: of this file')
    args = parser.parse_args(argv)
    root = args.root.resolve()
    try:
        texts = expected(root, Numbers(args.quick, verbose=True))
    except ValueError as error:
        parser.error(str(error))
    problems = compare(texts, root)
    if not args.write:
        print('\n'.join(problems) or 'metafiles, model-index.yml and tables are up to date')
        return int(bool(problems))
    for path, text in texts.items():
        write(path, text)
    print('\n'.join(problems) or 'nothing to change')
    return 0


if __name__ == '__main__':
    sys.exit(main())
