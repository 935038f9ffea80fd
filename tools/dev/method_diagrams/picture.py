"""Boxes, lines and text of an SVG; standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

SIZE = 13  # of text, pixels
MAP, STEP, OUT, LOSS = '#e3edf8', '#ffffff', '#e4f3e2', '#fdeedc'
INK, GUIDE, TRAIN = '#222222', '#b3400f', '#6a4c93'  # lines: data, fg and bg, training only
UP, DASHES = '×2', '5 3'


@dataclass(frozen=True)
class Box:
    """A box by its centre and size."""

    x: float
    y: float
    w: float
    h: float

    @property
    def left(self) -> tuple[float, float]:
        """Middle of the left edge; likewise the others."""
        return self.x - self.w / 2, self.y

    @property
    def right(self) -> tuple[float, float]:
        """Middle of the right edge."""
        return self.x + self.w / 2, self.y

    @property
    def top(self) -> tuple[float, float]:
        """Middle of the top edge."""
        return self.x, self.y - self.h / 2

    @property
    def bottom(self) -> tuple[float, float]:
        """Middle of the bottom edge."""
        return self.x, self.y + self.h / 2


@dataclass
class Picture:
    """An SVG that refuses text wider than its box, or outside the picture."""

    width: int
    height: int
    parts: list[str] = field(default_factory=list)

    def text(
        self, x: float, y: float, words: str, anchor: str = 'middle', size: int = SIZE,
        colour: str = INK, bold: bool = False,
    ) -> None:  # fmt: skip
        """Lines of text, of which the middle is at y."""
        lines, weight = words.split('\n'), 'bold' if bold else 'normal'
        for i, line in enumerate(lines):
            wide = 0.6 * size * len(line)
            left = x - {'start': 0, 'middle': wide / 2, 'end': wide}[anchor]
            if left < 0 or left + wide > self.width:
                raise ValueError(f'{line!r} leaves the picture')
            at = y + (i - (len(lines) - 1) / 2) * 1.25 * size + 0.35 * size
            self.parts.append(
                f'<text x="{x:g}" y="{at:g}" text-anchor="{anchor}" font-size="{size}" '
                f'fill="{colour}" font-weight="{weight}">{escape(line)}</text>'
            )

    def box(
        self, x: float, y: float, words: str, w: float = 104, h: float = 40, fill: str = STEP,
        colour: str = INK, dashed: bool = False,
    ) -> Box:  # fmt: skip
        """A box with text; maps are round."""
        longest = max(words.split('\n'), key=len)
        if 0.6 * SIZE * len(longest) > w:
            raise ValueError(f'{longest!r} is wider than its box, {w}')
        self.parts.append(
            f'<rect x="{x - w / 2:g}" y="{y - h / 2:g}" width="{w:g}" height="{h:g}" '
            f'rx="{3 if fill == STEP else 10}" fill="{fill}" stroke="{colour}" '
            f'stroke-dasharray="{DASHES if dashed else "none"}"/>'
        )
        self.text(x, y, words)
        return Box(x, y, w, h)

    def line(
        self, *points: tuple[float, float], colour: str = INK, head: bool = True,
        dashed: bool = False,
    ) -> None:  # fmt: skip
        """A line through points, with an arrow head at the last."""
        path = ' '.join(f'{x:g},{y:g}' for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.4" '
            f'stroke-dasharray="{DASHES if dashed else "none"}"/>'
        )
        if not head:
            return
        (x0, y0), (x, y) = points[-2:]
        length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
        u, v = (x - x0) / length, (y - y0) / length
        corners = [(x, y)] + [(x - 8 * u - s * 4 * v, y - 8 * v + s * 4 * u) for s in (1, -1)]
        path = ' '.join(f'{a:g},{b:g}' for a, b in corners)
        self.parts.append(f'<polygon points="{path}" fill="{colour}"/>')

    def plus(self, x: float, y: float) -> Box:
        """A sum."""
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="11" fill="#fff" stroke="{INK}"/>')
        self.text(x, y, '+', size=16)
        return Box(x, y, 22, 22)

    def grid(
        self, x: float, y: float, n: int, cell: float, fills: dict[tuple[int, int], str]
    ) -> None:
        """Square of n x n cells with the top left corner at (x, y); ``fills`` by (row, column)."""
        for i in range(n):
            for j in range(n):
                self.parts.append(
                    f'<rect x="{x + j * cell:g}" y="{y + i * cell:g}" width="{cell:g}" '
                    f'height="{cell:g}" fill="{fills.get((i, j), "#fff")}" stroke="#888"/>'
                )

    def svg(self) -> str:
        """The file's text."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-family="sans-serif">'
        )
        back = '<rect width="100%" height="100%" fill="#fff"/>'
        return '\n'.join((head, back, *self.parts, '</svg>')) + '\n'
