"""Markdown tables of the model zoo, from the metafiles' models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from condseg_mmseg.utils.tables import number, table

Model = dict[str, Any]

DATASETS = {
    'kvasir-seg': 'Kvasir-SEG',
    'kvasir-sessile': 'Kvasir-Sessile',
    'glas': 'GlaS',
    'isic2016': 'ISIC-2016',
    'isic2017': 'ISIC-2017',
    'cvc-clinicdb': 'CVC-ClinicDB',
    'custom': 'your own',
    'demo': 'generated scenes',
}
ENCODERS = {
    'r50': 'ResNet-50',
    'r18': 'ResNet-18',
    'lite0': 'EfficientNet-Lite0',
    'lite2': 'EfficientNet-Lite2',
    'b16': 'U-Net',
}
PRESETS = ('default', 'official', 'paper')
COMPLEXITY = ['input', 'parameters (M)', 'of these for training only', 'GMAC', 'more in training']
METRICS = ('mIoU', 'mDice', 'mRecall', 'mPrecision')
NOT_OURS = """\
Scores as the paper reports them: of each image at 256 x 256, then averaged over images, in percent;
mDice is its mDSC. No result of this repository is among them."""


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are as long as they are."""
    return table(header, list(rows), aligned=False)


def _size(model: Model) -> str:
    height, width = model['Metadata']['Input Size']
    return f'{height} x {width}'


def complexity(model: Model) -> list[str]:
    """Cells of :data:`COMPLEXITY`: millions of parameters, multiply-adds in 1e9."""
    meta = model['Metadata']
    extra = meta.get('Training-only Parameters', {})
    flops = meta['FLOPs'], meta.get('Training-only FLOPs')
    giga = ['-' if x is None else number(x / 1e9, 1 if x >= 1e10 else 2) for x in flops]
    more = number(sum(extra.values()) / 1e6) if extra else '-'
    return [_size(model), number(meta['Parameters'] / 1e6), more, *giga]


def networks(models: Sequence[Model]) -> str:
    """A row for each network and input size."""
    rows = {
        (str(model['Metadata']['Stage']), model['Metadata']['Encoder'], *complexity(model))
        for model in models
    }
    return markdown(['stage', 'encoder', *COMPLEXITY], sorted(rows))


def grid(models: Sequence[Model]) -> str:
    """A row for each data set, stage, encoder and input size; a column for each preset."""
    rows: dict[tuple, dict[str, list[str]]] = {}
    data_sets = list(DATASETS.values())
    for model in models:
        meta = model['Metadata']
        trained, tested = meta['Training Data'], meta.get('Test Data')
        data = f'{trained}, tested on {tested}' if tested else trained
        encoder = f'{meta["Encoder"]}, {_size(model)}'
        key = (data_sets.index(trained), data, str(meta['Stage']), -meta['Parameters'], encoder)
        (schedule,) = re.findall(r'_(\d+xb\d+-\d+e)_', model['Name'])
        link = f'[{schedule}]({Path(model["Config"]).name})'
        rows.setdefault(key, {}).setdefault(meta['Preset'], []).append(link)
    cells = [
        [data, stage, encoder, *('<br>'.join(row.get(preset, ['-'])) for preset in PRESETS)]
        for (_, data, stage, _, encoder), row in sorted(rows.items(), key=lambda item: item[0])
    ]
    return markdown(['data set', 'stage', 'encoder, input', *PRESETS], cells)


def condseg(models: Sequence[Model], results: Sequence[Model]) -> str:
    """For the README of configs/condseg; ``results``: the paper's, as in its metafile."""
    rows = [
        [result['Dataset'], *(str(result['Metrics'].get(name, '-')) for name in METRICS)]
        for result in results
    ]
    reported = markdown(['data set', *METRICS], rows)
    return '\n\n'.join([networks(models), grid(models), NOT_OURS, reported])


def ablations(models: Sequence[Model]) -> str:
    """For the README of configs/ablations."""
    rows = []
    for model in models:
        link = f'[`{model["Name"]}`]({Path(model["Config"]).name})'
        rows.append([link, model['Metadata']['Description'], *complexity(model)])
    return markdown(['config', 'what', *COMPLEXITY], rows)


def models_page(models: Sequence[Model], results: Sequence[Model]) -> str:
    """For docs/models.md; ``results``: the paper's."""
    by_key = {
        (m['Metadata']['Training Data'], m['Metadata']['Stage']): m
        for m in models
        if m['Metadata']['Preset'] == 'default' and m['Metadata']['Encoder'] == ENCODERS['r50']
        and 'Test Data' not in m['Metadata']
    }  # fmt: skip
    rows = []
    for result in results:
        stages = (by_key[result['Dataset'], stage]['Config'] for stage in (1, 2))
        links = [f'[`{Path(config).stem}`](../{config})' for config in stages]
        scores = [str(result['Metrics'][name]) for name in METRICS[:2]]
        rows.append([result['Dataset'], '<br>'.join(links), *scores])
    header = ['data set', 'configs of stage 1 and 2', "the paper's mIoU", "the paper's mDice"]
    return '\n\n'.join([markdown(header, rows), NOT_OURS, networks(models)])
