"""What ``dataset.json`` says: what was made, from what, by which rule."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .convert import Seen
from .plan import Plan
from .sources import Source

# Raise the version whenever the same originals give other files. The name is the one that older
# versions wrote: data sets that they made are recognised by it.
_GENERATOR = dict(name='prepare.py', version=1)


def describe(
    dataset: str,
    plan: Plan,
    sources: Sequence[Source],
    seen: Mapping[str, Seen],
    texts: Mapping[str, bytes],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """Return what ``dataset.json`` holds, without dates and paths of the machine.

    The same originals and parameters give the same description.

    Args:
        dataset: Name of the recipe.
        plan: What was made.
        sources: From what.
        seen: What the check found, by target.
        texts: Content of the lists, by file.
        warnings: One sentence each.
    """
    masks = [result for result in seen.values() if result.job.is_mask]
    sizes = Counter(result.size for result in masks)
    widths, heights = zip(*sizes, strict=True)
    shares = [mask.foreground for mask in masks]
    lists = {file: len(names) for file, names in plan.lists.items()}
    hashes = {file: hashlib.sha256(texts[file]).hexdigest() for file in lists}
    (width, height), times = max(sizes.items(), key=lambda item: (item[1], item[0]))
    above = 'any channel above 0' if plan.threshold is None else f'grey above {plan.threshold}'
    return dict(
        dataset=dataset,
        generator=_GENERATOR,
        sources=[_source(source) for source in sources],
        parameters=plan.parameters,
        images=len(plan.pairs),
        complete=None if plan.expected is None else lists == plan.expected,
        expected=plan.expected,
        masks=dict(
            encoding='PNG, 0 background, 1 foreground',
            foreground=above,
            mean_share=round(sum(shares) / len(shares), 6),
            empty=sum(share == 0 for share in shares),
            full=sum(share == 1 for share in shares),
        ),
        sizes=dict(
            width=[min(widths), max(widths)],
            height=[min(heights), max(heights)],
            distinct=len(sizes),
            most_common=dict(width=width, height=height, images=times),
        ),
        split=plan.split,
        lists={file: dict(names=lists[file], sha256=hashes[file]) for file in lists},
        warnings=list(warnings),
        details=plan.details,
    )


def _source(source: Source) -> dict[str, Any]:
    size = {} if source.kind == 'folder' else dict(bytes=source.path.stat().st_size)
    return dict(name=source.name, kind=source.kind) | size
