"""What keeps a data set from being made, and what the user should know."""

from __future__ import annotations

from collections.abc import Iterable

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.findings import Findings
from condseg_mmseg.utils.text import count, first, first_ten


def new_findings(allow_incomplete: bool = False) -> Findings:
    """Return an empty collection for the kinds ``'problem'``, ``'gap'`` and ``'note'``.

    Args:
        allow_incomplete: Whether a gap, something that is missing, is a warning only.
    """
    gap = 'warning' if allow_incomplete else 'error'
    return Findings(dict(problem='error', gap=gap, note='warning'))


def stop(findings: Findings) -> None:
    """Raise UserError with all errors, if there are any."""
    allow = {'gap': ' (--allow-incomplete: go on with what is there)'}
    errors = [finding.detail + allow.get(finding.kind, '') for finding in findings.of('error')]
    if errors:
        text = first_ten(errors, lines=True)
        raise UserError(f'{count(len(errors), "problem")}, nothing was written:{text}')


def some(names: Iterable[object]) -> str:
    """Name the first six; ``dataset.json`` quotes the warnings, so that their text is stable."""
    return first(names, 6)
