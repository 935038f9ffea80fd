"""What the splits hold: sizes, modes, foreground, objects, colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from .findings import Findings
from .scan import Scan
from .sources import Split

QUANTILES = (0, 5, 25, 50, 75, 95, 100)
"""In percent."""


def _quantiles(values: Sequence[float], digits: int) -> dict[str, float] | None:
    if not len(values):
        return None
    found = np.percentile(np.asarray(values, float), QUANTILES)
    return {f'p{q}': round(float(v), digits) for q, v in zip(QUANTILES, found, strict=True)}


def shares(scans: Sequence[Scan]) -> list[float]:
    """Return the foreground shares of the masks that have any."""
    return [scan.content.share for scan in scans if scan.content and scan.content.share]


def tercile_edges(scans: Sequence[Scan]) -> tuple[float, float] | None:
    """Return the foreground shares that part small, medium and large; None without masks."""
    found = shares(scans)
    return tuple(float(v) for v in np.percentile(found, (100 / 3, 200 / 3))) if found else None


def split_statistics(
    split: Split, scans: Sequence[Scan], edges: tuple[float, float] | None
) -> dict:
    """Describe a split.

    Args:
        split: The split.
        scans: Of its pairs.
        edges: From :func:`tercile_edges`, of the whole data set, so that the splits compare.

    Returns:
        What the JSON file holds of it; shares of the picture lie in 0..1, sizes are in pixels.
    """
    images = [scan for scan in scans if scan.size]
    masks = [scan.content for scan in scans if scan.content]
    terciles = None
    if edges:
        place = np.searchsorted(edges, shares(scans), side='left')
        names = ('small', 'medium', 'large')
        terciles = {name: int((place == k).sum()) for k, name in enumerate(names)}
    objects = Counter(mask.objects for mask in masks)
    colours = [scan.colour for scan in images]
    return dict(
        name=split.full_name,
        role=split.role,
        source=split.source,
        mask_rule=str(split.rule),
        pairs=len(scans),
        images=len(images),
        masks=len(masks),
        sizes=len({scan.size for scan in images}),
        width=_quantiles([scan.size[0] for scan in images], 1),
        height=_quantiles([scan.size[1] for scan in images], 1),
        image_modes=dict(Counter(scan.mode for scan in images).most_common()),
        mask_modes=dict(Counter(s.mask_mode for s in scans if s.mask_mode).most_common()),
        encodings=dict(Counter(s.encoding for s in scans if s.encoding).most_common()),
        foreground=_quantiles([mask.share for mask in masks], 5),
        terciles=terciles,
        objects={str(k): objects[k] for k in sorted(objects)},
        objects_mean=round(float(np.mean([m.objects for m in masks])), 3) if masks else None,
        colour=[round(float(v), 1) for v in np.mean(colours, 0)] if colours else None,
        brightness=_quantiles([float(np.mean(colour)) for colour in colours], 1),
    )


def summarise(data_set: str, scans: Sequence[Scan], findings: Findings) -> None:
    """Report what concerns a data set as a whole: several colour modes, noisy masks.

    Args:
        data_set: Its name.
        scans: Of all its pairs, each once.
        findings: Where it goes.
    """
    modes = Counter(scan.mode for scan in scans if scan.mode)
    if len(modes) > 1:
        (common, _), *rare = modes.most_common()
        detail = ', '.join(f'{number} {mode}' for mode, number in modes.most_common())
        files = [scan.image for scan in scans if scan.mode in {mode for mode, _ in rare}]
        findings.add('mixed-modes', f'{detail}; listed are those that are not {common}', files,
                     [data_set])  # fmt: skip
    noisy = [scan.mask for scan in scans if scan.encoding == '0/255 noisy']
    if noisy:
        detail = f'{len(noisy)} masks are not exactly 0 and 255: cut them, do not compare with 255'
        findings.add('mask-noise', detail, noisy, [data_set])
