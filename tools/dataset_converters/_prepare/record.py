"""What ``dataset.json`` says: what was made, from what, by which rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from .convert import Seen
from .plan import Plan
from .sources import Source
from .splits import sha256

VERSION = 1  # raise it whenever the same originals give other files


def describe(
    dataset: str,
    plan: Plan,
    sources: Sequence[Source],
    seen: Mapping[str, Seen],
    texts: Mapping[str, bytes],
    warnings: Sequence[str],
) -> dict:
    """Describe a data set; the same originals and parameters give the same description.

    Args:
        dataset: Its name.
        plan: What is made.
        sources: Where it comes from.
        seen: What the check found, by target.
        texts: Content of the lists.
        warnings: What the user was told.

    Returns:
        The content of ``dataset.json``, without dates and paths of the machine.
    """
    masks = [result for result in seen.values() if result.job.is_mask]
    sizes = Counter(result.size for result in masks)
    shares = [mask.foreground for mask in masks]
    expected = plan.expected
    lists = {file: len(names) for file, names in plan.lists.items()}
    threshold = plan.threshold
    most_common, times = max(sizes.items(), key=lambda item: (item[1], item[0]))
    return dict(
        dataset=dataset,
        generator=dict(name='prepare.py', version=VERSION),
        sources=[_source(source) for source in sources],
        parameters=plan.parameters,
        images=len(plan.pairs),
        complete=None if expected is None else lists == expected,
        expected=expected,
        masks=dict(
            encoding='PNG, 0 background, 1 foreground',
            foreground='any channel above 0' if threshold is None else f'grey above {threshold}',
            mean_share=round(sum(shares) / len(shares), 6),
            empty=sum(share == 0 for share in shares),
            full=sum(share == 1 for share in shares),
        ),
        sizes=dict(
            width=[min(w for w, _ in sizes), max(w for w, _ in sizes)],
            height=[min(h for _, h in sizes), max(h for _, h in sizes)],
            distinct=len(sizes),
            most_common=dict(width=most_common[0], height=most_common[1], images=times),
        ),
        split=plan.split,
        lists={file: dict(names=lists[file], sha256=sha256(texts[file])) for file in lists},
        warnings=list(warnings),
        details=plan.details,
    )


def _source(source: Source) -> dict:
    size = {} if source.kind == 'folder' else dict(bytes=source.path.stat().st_size)
    return dict(name=source.name, kind=source.kind) | size
