"""What the splits hold: sizes, modes, foreground, objects, colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from condseg_mmseg.utils.findings import Findings
from condseg_mmseg.utils.mask_values import set_problem

from .scan import Scan
from .sources import Split

_QUANTILES = (0, 5, 25, 50, 75, 95, 100)  # in percent


def _quantiles(values: Sequence[float], digits: int) -> dict[str, float] | None:
    if not values:
        return None
    found = np.percentile(np.asarray(values, float), _QUANTILES)
    return {f'p{q}': round(float(v), digits) for q, v in zip(_QUANTILES, found, strict=True)}


def _counted(values: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(value for value in values if value).most_common())


def _shares(scans: Sequence[Scan]) -> list[float]:
    """Return the foreground shares of the masks that have any."""
    return [scan.content.share for scan in scans if scan.content and scan.content.share]


def tercile_edges(scans: Sequence[Scan]) -> list[float] | None:
    """Return the foreground shares that part small, medium and large; None without masks."""
    shares = _shares(scans)
    return np.percentile(shares, (100 / 3, 200 / 3)).tolist() if shares else None


def split_statistics(
    split: Split, scans: Sequence[Scan], edges: Sequence[float] | None
) -> dict[str, Any]:
    """Return what the JSON file holds of a split; shares lie in 0..1, sizes are in pixels.

    Args:
        split: The split.
        scans: Of its pairs.
        edges: From :func:`tercile_edges` of the whole data set, so that the splits compare.
    """
    sizes = [scan.size for scan in scans if scan.size]
    masks = [scan.content for scan in scans if scan.content]
    colours = [scan.colour for scan in scans if scan.colour]
    terciles = None
    if edges:
        place = np.searchsorted(edges, _shares(scans), side='left')
        names = ('small', 'medium', 'large')
        terciles = {name: int((place == k).sum()) for k, name in enumerate(names)}
    objects = Counter(mask.objects for mask in masks)
    return dict(
        name=split.full_name,
        role=split.role,
        source=split.source,
        mask_rule=str(split.rule),
        pairs=len(scans),
        images=len(sizes),
        masks=len(masks),
        sizes=len(set(sizes)),
        width=_quantiles([width for width, _ in sizes], 1),
        height=_quantiles([height for _, height in sizes], 1),
        image_modes=_counted(scan.mode for scan in scans if scan.size),
        mask_modes=_counted(scan.mask_mode for scan in scans),
        encodings=_counted(scan.encoding for scan in scans),
        foreground=_quantiles([mask.share for mask in masks], 5),
        terciles=terciles,
        objects={str(k): objects[k] for k in sorted(objects)},
        objects_mean=round(float(np.mean([m.objects for m in masks])), 3) if masks else None,
        colour=[round(float(v), 1) for v in np.mean(colours, 0)] if colours else None,
        brightness=_quantiles([float(np.mean(colour)) for colour in colours], 1),
    )


def judge_masks(split: Split, scans: Sequence[Scan], findings: Findings) -> None:
    """Report what only the masks of a split together show."""
    seen = [scan for scan in scans if scan.mask and scan.content]
    problem = set_problem(scan.content.kind for scan in seen if scan.content)
    if problem:
        findings.add('mask-set', problem, [str(scan.mask) for scan in seen], [split.full_name])


def summarise(data_set: str, scans: Sequence[Scan], findings: Findings) -> None:
    """Report what concerns a data set as a whole: several colour modes, noisy masks."""
    modes = _counted(scan.mode for scan in scans)
    if len(modes) > 1:
        common = next(iter(modes))
        rare = [scan.file for scan in scans if scan.mode not in (None, common)]
        detail = ', '.join(f'{number} {mode}' for mode, number in modes.items())
        detail += f'; listed are those that are not {common}'
        findings.add('mixed-modes', detail, rare, [data_set])
    noisy = [scan.mask for scan in scans if scan.mask and scan.encoding == '0/255 noisy']
    if noisy:
        detail = f'{len(noisy)} masks are not exactly 0 and 255: cut them, do not compare with 255'
        findings.add('mask-noise', detail, noisy, [data_set])
