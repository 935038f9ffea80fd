"""What the data doctor can find, and how bad each is."""

from __future__ import annotations

from condseg_mmseg.utils.findings import Findings

KINDS = {
    'list': ('error', 'a list or a folder is missing, unreadable or empty'),
    'missing-image': ('error', 'a list names an image that is not there'),
    'missing-mask': ('error', 'an image has no mask'),
    'ambiguous': ('error', 'a name means several files'),
    'repeated': ('error', 'a list names an image twice'),
    'same-file': ('error', 'one file would be image and mask at once'),
    'unreadable': ('error', 'a file is broken, truncated or no image'),
    'unusable': ('error', 'a file of another format, of several pictures, or one pixel wide'),
    'size-mismatch': ('error', 'image and mask differ in size as they are loaded'),
    'mask-exif': ('error', 'a mask has an EXIF orientation, which its loader leaves out'),
    'mask-depth': ('error', 'a mask has more than 8 bits a pixel, which its loader cuts'),
    'image-values': ('error', 'an image of floats, or of 16 bits of which the upper are empty'),
    'image-turned': ('error', 'EXIF turns an image, and its size does not say whether its mask is'),
    'mask-values': ('error', 'the values of a mask do not fit the way masks are read'),
    'mask-set': ('error', 'all masks of a split are empty, all are full, or most are inverted'),
    'leakage': ('error', 'an image of a training split is in a validation or test split too'),
    'near-leakage': ('warning', 'nearly the same picture in training and validation or test'),
    'overlap': ('warning', 'an image is in validation and test, or in a split of unknown use'),
    'near-overlap': ('warning', 'nearly the same picture in such splits'),
    'duplicate': ('warning', 'several files of one split hold the same picture'),
    'lone-mask': ('warning', 'a mask without an image, in a folder without lists'),
    'mask-empty': ('warning', 'a mask without foreground'),
    'mask-full': ('warning', 'a mask without background'),
    'mask-inverted': ('warning', 'a mask whose foreground is the frame, and most of the picture'),
    'tiny-object': ('warning', 'a mask with specks, which may be slips of the annotation'),
    'image-blank': ('warning', 'an image of one colour'),
    'image-exif': ('warning', 'an image is turned when it is loaded, its mask is not'),
    'image-depth': ('warning', 'an image with more than 8 bits a channel, cut to 8 when loaded'),
    'near-duplicate': ('info', 'nearly the same picture twice in one split, like frames of a film'),
    'shared': ('info', 'splits of the same use, or a list of everything, share an image'),
    'same-name': ('info', 'images of one name in two splits, with other content'),
    'same-list': ('info', 'validation and test are the same images'),
    'orphan-image': ('info', 'images that no list names'),
    'orphan-mask': ('info', 'masks of no image that a list names'),
    'other-suffix': ('info', 'a file whose ending is that of another format'),
    'mixed-modes': ('info', 'images of several colour modes'),
    'mask-noise': ('info', '0/255 masks with values between, from JPEG or smoothing'),
    'skipped': ('info', 'something that could not be taken for a list or a data set'),
}
"""Kind -> severity and meaning. The keys are stable: the JSON file uses them."""

BETWEEN_SPLITS = ('leakage', 'near-leakage', 'overlap', 'near-overlap', 'shared', 'same-name')
"""Kinds that say something of two splits."""


def new_findings() -> Findings:
    """Return an empty collection for :data:`KINDS`."""
    return Findings({kind: severity for kind, (severity, _) in KINDS.items()})


def exit_status(findings: Findings, fail_on: str = 'warning') -> int:
    """Return the exit status of the command.

    Args:
        findings: All.
        fail_on: ``'warning'`` (default): 1 for warnings, 3 for errors (2 is a wrong command line).
            ``'error'``: 3 for errors, else 0. ``'never'``: 0.
    """
    if fail_on != 'never' and findings.of('error'):
        return 3
    return int(fail_on == 'warning' and bool(findings.of('warning')))
