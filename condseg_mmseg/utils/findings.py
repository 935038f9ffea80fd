"""What is wrong with files, collected so that one problem hides no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SEVERITIES = ('error', 'warning', 'info')


@dataclass(frozen=True)
class Finding:
    """One problem.

    Attributes:
        kind: Its key, which does not change between versions.
        severity: One of :data:`SEVERITIES`.
        splits: Full names of the splits it concerns, ``data set/split``.
        files: Paths of the files it is about.
        detail: One sentence.
    """

    kind: str
    severity: str
    splits: tuple[str, ...]
    files: tuple[str, ...]
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """Return what a JSON file holds of it."""
        return vars(self) | dict(splits=list(self.splits), files=list(self.files))


class Findings(list[Finding]):
    """All findings of a run, in the order found.

    Args:
        severities: Severity of every kind, in the order of :meth:`in_order`.
    """

    def __init__(self, severities: Mapping[str, str]) -> None:
        super().__init__()
        self.severities = severities

    def add(
        self, kind: str, detail: str, files: Iterable[str] = (), splits: Sequence[str] = ()
    ) -> None:
        """Append a finding.

        Args:
            kind: One of ``severities``.
            detail: One sentence.
            files: Paths of the files it is about. Default ``()``.
            splits: Full names of the splits it concerns. Default ``()``.
        """
        self.append(Finding(kind, self.severities[kind], tuple(splits), tuple(files), detail))

    def of(self, severity: str) -> list[Finding]:
        """Return those of one severity, in the order found."""
        return [finding for finding in self if finding.severity == severity]

    def counts(self) -> dict[str, int]:
        """Return the number of findings of each severity."""
        found = Counter(finding.severity for finding in self)
        return {severity: found[severity] for severity in SEVERITIES}

    def in_order(self) -> list[Finding]:
        """Return them by severity, then by kind, then as found."""
        rank = {kind: place for place, kind in enumerate(self.severities)}
        return sorted(self, key=lambda f: (SEVERITIES.index(f.severity), rank[f.kind]))
