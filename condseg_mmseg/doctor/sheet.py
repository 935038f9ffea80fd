"""A picture of what is suspicious: image, mask and the reason."""

from __future__ import annotations

import contextlib
import textwrap
from collections import defaultdict
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np

from condseg_mmseg.utils.files import replaced_at_once
from condseg_mmseg.utils.findings import Finding, Findings
from condseg_mmseg.utils.mask_values import channel_max

from .kinds import BETWEEN_SPLITS
from .masks import MaskRule, foreground
from .scan import decode_image, decode_mask

TILE, GAP, LINE = 160, 4, 15  # pixels
CAPTION = 5 * LINE + GAP
_COLUMNS = 4  # cards in a row; a card is an image and its mask
_CARD = 2 * (TILE + GAP)
_COLOURS = {'error': (40, 40, 200), 'warning': (0, 110, 200), 'info': (110, 110, 110)}  # BGR
_CONTOUR = (115, 158, 0)
_CHARACTERS = 46  # that fit into the width of a card
_SHOWN_INFO = ('near-duplicate',)
_PER_KIND = 8  # findings of one kind and place
_MARK = (0, 140, 255)
_INVISIBLE = 4  # pixels of a tile below which an object gets a ring around it

Known = Mapping[str, tuple[str | None, str | None, MaskRule]]


def select(findings: Findings, known: Known, number: int) -> list[Finding]:
    """Choose at most ``number`` findings to draw: errors first, and of every kind some.

    A finding of files that are not ``known`` has nothing to show.
    """
    groups: dict[tuple, list[Finding]] = defaultdict(list)
    for finding in findings.in_order():
        suspicious = finding.severity != 'info' or finding.kind in _SHOWN_INFO
        if suspicious and any(file in known for file in finding.files):
            group = finding.kind, finding.splits if finding.kind in BETWEEN_SPLITS else ()
            groups[group].append(finding)
    shown = [group[:_PER_KIND] for group in groups.values()]
    rounds = (f for group in zip_longest(*shown) for f in group if f is not None)
    chosen = {id(finding) for _, finding in zip(range(number), rounds, strict=False)}
    return [finding for group in shown for finding in group if id(finding) in chosen]


def _tile(
    picture: np.ndarray | None, missing: str, classes: np.ndarray | None = None
) -> np.ndarray:
    """Fit a BGR picture into a square, or write what is missing; put rings around specks."""
    tile = np.full((TILE, TILE, 3), 225, np.uint8)
    if picture is None:
        _write(tile, missing, 8, TILE // 2, (90, 90, 90))
        return tile
    height, width = picture.shape[:2]
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    y, x = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    tile[y : y + size[1], x : x + size[0]] = small
    if classes is not None:
        _, _, stats, centres = cv2.connectedComponentsWithStats(classes, connectivity=8)
        side = stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1, initial=0) * scale
        for cx, cy in centres[1:][side < _INVISIBLE][:20]:
            centre = round(x + cx * scale), round(y + cy * scale)
            cv2.circle(tile, centre, 6, _MARK, 1, cv2.LINE_AA)
    return tile


def _write(canvas: np.ndarray, text: str, x: int, y: int, colour: tuple = (20, 20, 20)) -> None:
    text = text.encode('ascii', 'replace').decode()  # OpenCV's fonts have no more
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)


def _pair(image: str | None, mask: str | None, rule: MaskRule) -> np.ndarray:
    """Draw an image with the contour of its foreground, and its mask; (TILE, _CARD, 3)."""
    picture = values = inside = None
    with contextlib.suppress(Exception):  # the tile says so
        picture = None if image is None else decode_image(image)
    with contextlib.suppress(Exception):
        if mask is not None:
            decoded = decode_mask(mask, rule.backend)
            grey = channel_max(decoded)
            # the highest value is drawn white, so that labels and 0/1 can be seen, too
            stretched = (grey.astype(np.uint16) * 255 // max(int(grey.max()), 1)).astype(np.uint8)
            values = cv2.cvtColor(stretched, cv2.COLOR_GRAY2BGR)
            inside = (foreground(decoded, rule)[0] == 1).astype(np.uint8)
            if picture is not None and picture.shape[:2] == grey.shape:
                lines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
                width = max(1, round(1.5 * max(grey.shape) / TILE))
                cv2.drawContours(picture, lines, -1, _CONTOUR, width)
    tiles = (
        _tile(picture, 'no image' if image is None else 'unreadable'),
        _tile(values, 'no mask' if mask is None else 'unreadable', inside),
    )
    gap = ((0, 0), (0, GAP), (0, 0))
    return np.concatenate([np.pad(tile, gap, constant_values=255) for tile in tiles], axis=1)


def _card(finding: Finding, known: Known) -> np.ndarray:
    """Draw a finding: its first two pairs side by side."""
    pairs = list(dict.fromkeys(known[file] for file in finding.files if file in known))[:2]
    pictures = np.concatenate([_pair(*pair) for pair in pairs], axis=1)
    caption = np.full((CAPTION, pictures.shape[1], 3), 255, np.uint8)
    _write(caption, f'{finding.severity}: {finding.kind}', 2, 12, _COLOURS[finding.severity])
    names = ' | '.join(Path(image or mask or '').name for image, mask, _ in pairs)
    length = _CHARACTERS * len(pairs)
    lines = [' | '.join(finding.splits), names, *textwrap.wrap(finding.detail, length)[:2]]
    for row, line in enumerate(lines, 1):
        _write(caption, line[:length], 2, 12 + LINE * row)
    return np.concatenate([caption, pictures])


def draw(findings: Findings, known: Known, number: int = 40) -> np.ndarray:
    """Draw findings on a sheet.

    Args:
        findings: All.
        known: Image, mask and rule of every file of a pair.
        number: Most that are drawn. Default 40.

    Returns:
        BGR, uint8.
    """
    chosen = select(findings, known, number)
    head = 'nothing suspicious'
    if chosen:
        head = f'{len(chosen)} findings: at most {_PER_KIND} of a kind, {number} in all'
    width = _COLUMNS * _CARD
    header = np.full((2 * LINE, width, 3), 255, np.uint8)
    _write(header, head, 4, 18)
    row: list[np.ndarray] = []
    rows, used = [header], 0
    for card in (*(_card(finding, known) for finding in chosen), None):
        if row and (card is None or used + card.shape[1] > width):
            rows.append(_row(row, width))
            row, used = [], 0
        if card is not None:
            row.append(card)
            used += card.shape[1]
    return np.concatenate(rows)


def _row(cards: list[np.ndarray], width: int) -> np.ndarray:
    row = np.concatenate(cards, axis=1)
    padding = ((0, 2 * GAP), (0, width - row.shape[1]), (0, 0))
    return np.pad(row, padding, constant_values=255)


def write_sheet(path: Path, sheet: np.ndarray) -> None:
    """Write the sheet as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_at_once(path) as temporary:
        temporary.write_bytes(cv2.imencode('.png', sheet)[1].tobytes())
