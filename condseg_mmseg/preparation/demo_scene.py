"""Draw one endoscopy-like scene: mucosa, folds, vessels, light, and soft-edged polyps.

_place    outlines of the objects: size, number, no contact      rng(seed, split, index)
_mucosa   colour, mottling, folds, lumen, vessels
_paint    each object: dome shading, hue, pits, soft rim         -> mask
_light    illumination, dark corners, highlights, noise          -> image
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import cv2
import numpy as np

from condseg_mmseg.utils.errors import UserError

from .splits import SPLITS


def _knob(default: Any, low: float, high: float, text: str) -> Any:
    """A dataclass field with its allowed range (inclusive) and the text of its argument."""
    return field(default=default, metadata=dict(low=low, high=high, help=text))


@dataclass(frozen=True)
class SceneKnobs:
    """What a scene looks like; every field is an argument of the command line.

    Lengths are shares of the picture's side, so a scene keeps its look at another ``size``.

    Raises:
        UserError: If a value is outside its range or a pair is not (low, high).
    """

    size: int = _knob(128, 32, 4096, 'height and width of a picture in pixels')
    softness: float = _knob(0.25, 0.0, 1.0, 'width of the rim, as a share of the radius')
    contrast: float = _knob(1.0, 0.0, 3.0, 'strength of the hue and texture of a polyp')
    illumination: float = _knob(0.55, 0.0, 1.0, 'fall of the light towards the rim')
    highlights: float = _knob(8.0, 0.0, 200.0, 'mean number of specular highlights')
    folds: float = _knob(3.0, 0.0, 20.0, 'mean number of folds of the mucosa')
    vessels: float = _knob(7.0, 0.0, 50.0, 'mean number of vessels')
    noise: float = _knob(0.012, 0.0, 0.5, 'standard deviation of the noise, white being 1')
    small_share: float = _knob(0.5, 0.0, 1.0, 'share of the scenes that hold small polyps')
    small_radius: tuple[float, float] = _knob((0.055, 0.08), 0.02, 0.4, 'radius of a small one')
    large_radius: tuple[float, float] = _knob((0.15, 0.22), 0.02, 0.4, 'radius of a large one')
    small_group: tuple[int, int] = _knob((3, 5), 2, 12, 'how many small ones form a group')
    large_group: tuple[int, int] = _knob((2, 3), 2, 12, 'how many large ones form a group')

    def __post_init__(self) -> None:
        """Check every field against its range."""
        for knob in fields(self):
            value, option = getattr(self, knob.name), '--' + knob.name.replace('_', '-')
            low, high = knob.metadata['low'], knob.metadata['high']
            parts = value if isinstance(value, tuple) else (value,)
            if len(parts) != np.size(getattr(SceneKnobs, knob.name)) or list(parts) != sorted(
                parts
            ):
                raise UserError(f'{option} must be LOW HIGH, got {value}')
            if not all(low <= part <= high for part in parts):  # False for NaN too
                raise UserError(f'{option} must lie in [{low}, {high}], got {value}')


@dataclass(frozen=True)
class Scene:
    """One generated picture."""

    image: np.ndarray  # RGB, (size, size, 3), uint8
    mask: np.ndarray  # 0 or 255, (size, size), uint8; the middle of the soft rim is the contour
    kind: str  # 'small' or 'large', the size of the objects
    count: int  # number of objects; each is one connected component of the mask


@dataclass(frozen=True)
class _Blob:
    """Outline of one object: its centre, and its radius at 128 angles."""

    x: float
    y: float
    radii: np.ndarray

    @property
    def reach(self) -> float:
        return float(self.radii.max())


def _smooth(rng: np.random.Generator, n: int, cells: int) -> np.ndarray:
    """Smooth noise of unit size, (n, n), with about ``cells`` bumps along a side."""
    grid = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    return cv2.resize(grid, (n, n), interpolation=cv2.INTER_CUBIC)


def _grain(rng: np.random.Generator, n: int, sigma: float) -> np.ndarray:
    """Band-pass noise of unit standard deviation, (n, n); ``sigma`` in pixels."""
    white = rng.standard_normal((n, n)).astype(np.float32)
    band = cv2.GaussianBlur(white, (0, 0), sigma) - cv2.GaussianBlur(white, (0, 0), 2 * sigma)
    return band / (band.std() + 1e-6)


def _grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x and y of the pixel centres in (0, 1), each (n, n)."""
    line = (np.arange(n, dtype=np.float32) + 0.5) / n
    return np.meshgrid(line, line)


def _outline(rng: np.random.Generator, radius: float, x: float, y: float) -> _Blob:
    """A wobbly outline of about this radius."""
    theta = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    wobble = sum(
        rng.normal(0, 0.16 / order) * np.cos(order * theta + rng.uniform(0, 2 * np.pi))
        for order in (2, 3, 4)
    )
    return _Blob(float(x), float(y), radius * np.clip(1 + wobble, 0.75, 1.25))


def _place(rng: np.random.Generator, knobs: SceneKnobs, kind: str, count: int) -> list[_Blob]:
    """Draw outlines that neither touch each other nor leave the lit circle."""
    low, high = knobs.small_radius if kind == 'small' else knobs.large_radius
    gap = max(0.03, 3.0 / knobs.size)  # at least three pixels apart: one component each
    for attempt in range(60):
        top = high - (high - low) * attempt / 59  # crowded scenes: smaller ones, in the range
        cluster = rng.uniform(0.28, 0.72, 2) if kind == 'small' else np.full(2, 0.5)
        spread = 0.22 if kind == 'small' and count > 1 else 0.35
        blobs: list[_Blob] = []
        for _ in range(20 * count):
            x, y = cluster + rng.uniform(-spread, spread, 2)
            blob = _outline(rng, rng.uniform(low, top), x, y)
            inside = np.hypot(blob.x - 0.5, blob.y - 0.5) + blob.reach < 0.58
            inside &= min(blob.x, blob.y, 1 - blob.x, 1 - blob.y) > blob.reach + 0.03
            if inside and all(
                np.hypot(blob.x - b.x, blob.y - b.y) > blob.reach + b.reach + gap for b in blobs
            ):
                blobs.append(blob)
            if len(blobs) == count:
                return blobs
    raise UserError(
        f'{count} {kind} objects of radius {low} to {high} do not fit in a picture: lower '
        f'--{kind}-radius or --{kind}-group'
    )


def _mucosa(rng: np.random.Generator, knobs: SceneKnobs) -> np.ndarray:
    """Folded, mottled background with vessels, RGB in about (0, 1), (n, n, 3)."""
    n = knobs.size
    x, y = _grid(n)
    base = np.array([0.80, 0.44, 0.36]) * (1 + rng.normal(0, [0.05, 0.09, 0.10]))
    light = 1 + 0.07 * _smooth(rng, n, 4) + 0.035 * _grain(rng, n, 0.02 * n)
    tint = 0.06 * _smooth(rng, n, 3) + 0.04 * _smooth(rng, n, 8)

    # Folds run around the lumen: a bright crest and its shadow.
    cx, cy = rng.uniform(0.1, 0.9, 2)
    distance = np.hypot(x - cx, y - cy) + 0.035 * _smooth(rng, n, 4)
    angle = np.arctan2(y - cy, x - cx)
    for _ in range(rng.poisson(knobs.folds)):
        radius, width = rng.uniform(0.15, 0.9), rng.uniform(0.025, 0.06)
        window = 0.5 + 0.5 * np.tanh(3 * np.cos(angle - rng.uniform(0, 2 * np.pi)) + 0.5)
        crest = np.exp(-(((distance - radius) / width) ** 2))
        shadow = np.exp(-(((distance - radius + 1.7 * width) / (1.4 * width)) ** 2))
        light += window * (0.16 * crest - 0.26 * shadow) * rng.uniform(0.5, 1.2)
    if rng.random() < 0.5:  # the lumen itself: a dark hole
        light *= 1 - 0.75 / (1 + np.exp((distance - rng.uniform(0.06, 0.14)) / 0.025))

    lines: np.ndarray = np.zeros((n, n), np.float32)
    for _ in range(rng.poisson(knobs.vessels)):
        steps = rng.integers(12, 30)
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.3, steps))
        path = rng.uniform(0, n, 2) + np.cumsum(
            0.025 * n * np.stack([np.cos(heading), np.sin(heading)], 1), 0
        )
        layer = np.zeros_like(lines)
        thickness = max(1, round(n * rng.uniform(0.004, 0.012)))
        cv2.polylines(
            layer, [np.round(path * 16).astype(np.int32)], False, 1.0, thickness, cv2.LINE_8, 4
        )
        lines = np.maximum(lines, layer * rng.uniform(0.4, 1.0))
    lines = cv2.GaussianBlur(lines, (0, 0), 0.006 * n)

    absorb = np.array([0.12, 0.42, 0.30])  # blood takes green and blue
    image = base * light[..., None] * (1 + tint[..., None] * np.array([0.15, 1.0, 1.2]))
    return image * (1 - lines[..., None] * absorb)


def _paint(
    image: np.ndarray, rng: np.random.Generator, knobs: SceneKnobs, blob: _Blob
) -> tuple[np.ndarray, np.ndarray]:
    """Lay one polyp over the picture; returns the picture and the object's mask (bool)."""
    n = knobs.size
    x, y = _grid(n)
    dx, dy = x - np.float32(blob.x), y - np.float32(blob.y)
    distance = np.hypot(dx, dy)
    turn = (np.arctan2(dy, dx) / (2 * np.pi)) % 1.0
    knots = np.linspace(0, 1, len(blob.radii) + 1)
    edge = np.interp(turn, knots, np.append(blob.radii, blob.radii[0])).astype(np.float32)
    mean = float(blob.radii.mean())
    soft = max(0.35 / n, 0.5 * knobs.softness * mean * rng.uniform(0.6, 1.4))
    alpha = 0.5 + 0.5 * np.tanh((edge - distance) / soft)

    # A dome lit from one side: as much darker here as brighter there, so its mean says nothing.
    side = rng.uniform(0, 2 * np.pi)
    slope = (dx * np.cos(side) + dy * np.sin(side)) / edge
    shade = 1 + rng.uniform(0.14, 0.30) * slope + rng.uniform(-0.12, 0.12)
    shade += 0.04 * knobs.contrast * _grain(rng, n, 0.011 * n)  # pits: finer than the mucosa
    strength = knobs.contrast * rng.uniform(0.6, 1.2)
    hue = np.array([0.02, -0.10, 0.03]) * strength  # towards crimson at about equal brightness
    local = cv2.GaussianBlur(image.astype(np.float32), (0, 0), max(1.0, 0.35 * mean * n))
    local = 0.5 * local + 0.5 * image.mean((0, 1))
    body = local * (1 + hue) * shade[..., None]

    # The shadow the dome throws on the side away from the light.
    cast = np.exp(-(((distance - edge) / (0.25 * mean)) ** 2)) * np.clip(-slope, 0, 1)
    image = image * (1 - 0.30 * cast[..., None])
    return image * (1 - alpha[..., None]) + body * alpha[..., None], distance < edge


def _light(image: np.ndarray, rng: np.random.Generator, knobs: SceneKnobs) -> np.ndarray:
    """Illumination, the dark corners of the optics, specular highlights and noise."""
    n = knobs.size
    x, y = _grid(n)
    cx, cy = rng.uniform(0.3, 0.7, 2)
    gain = 1.12 - knobs.illumination * ((x - cx) ** 2 + (y - cy) ** 2) * 1.6
    corner = np.hypot(x - 0.5, y - 0.5)
    gain = np.clip(gain, 0.15, None) / (1 + np.exp((corner - 0.63) / 0.018))
    image = image * gain[..., None]

    glare: np.ndarray = np.zeros((n, n), np.float32)
    for _ in range(rng.poisson(knobs.highlights)):
        centre = rng.normal((cx, cy), 0.22) * n
        axes = n * rng.uniform(0.004, 0.02) * np.array([1.0, rng.uniform(0.3, 1.0)])
        cv2.ellipse(
            glare,
            tuple(int(v * 16) for v in centre),
            tuple(max(8, int(v * 16)) for v in axes),
            float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.5, 1.0)), -1, cv2.LINE_8, 4,
        )  # fmt: skip
    glare = cv2.GaussianBlur(glare, (0, 0), 0.006 * n)[..., None]
    glare = np.clip(1.3 * glare, 0, 1) * np.clip(gain, 0, 1)[..., None]
    image = image * (1 - glare) + np.array([1.0, 0.97, 0.95]) * glare
    return image + rng.normal(0, knobs.noise, image.shape)


def make_scene(knobs: SceneKnobs, seed: int, split: str, index: int) -> Scene:
    """Make one scene; it depends on nothing but the arguments.

    Args:
        knobs: Look of the scene.
        seed: Seed of the data set, >= 0.
        split: 'train' and 'val' keep the co-occurrence, 'test' breaks it.
        index: Number of the image in its split, >= 0.

    Raises:
        UserError: If the split is unknown or the objects do not fit.
    """
    if split not in SPLITS:
        raise UserError(f'split must be one of {SPLITS}, got {split!r}')
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    kind = 'small' if rng.random() < knobs.small_share else 'large'
    grouped = (kind == 'small') != (split == 'test')
    low, high = knobs.small_group if kind == 'small' else knobs.large_group
    count = int(rng.integers(low, high + 1)) if grouped else 1
    blobs = _place(rng, knobs, kind, count)
    image = _mucosa(rng, knobs)
    mask = np.zeros((knobs.size, knobs.size), bool)
    for blob in blobs:
        image, inside = _paint(image, rng, knobs, blob)
        mask |= inside
    image = _light(image, rng, knobs)
    pixels = np.clip(np.round(image * 255), 0, 255).astype(np.uint8)
    return Scene(pixels, mask.astype(np.uint8) * 255, kind, count)
