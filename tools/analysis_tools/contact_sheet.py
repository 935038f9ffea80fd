"""Draw a contact sheet: image, truth, prediction, contours and the maps of the SID head.

Example:
    python tools/analysis_tools/contact_sheet.py CONFIG CHECKPOINT --split test --num 8

A row is an image of the split, with its Dice; columns are the image, the truth, the prediction,
both contours over the image, and the probabilities of foreground, background and uncertainty that
the auxiliary head sees (left out for models without it). The pictures have the size at which the
test pipeline scores.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from condseg_mmseg.configs import read_config
from condseg_mmseg.evaluation.functional import confusion_counts, scores_from_counts
from condseg_mmseg.models import SIDHead
from condseg_mmseg.utils.arguments import check_device, refuse_inputs

ROOT = Path(__file__).resolve().parents[2]
MAPS = ('foreground', 'background', 'uncertainty')
TRUTH, PREDICTED = (0, 158, 115), (230, 60, 160)  # RGB; a pair that colour-blind readers tell apart
GAP, HEADER, MARGIN = 4, 30, 132  # pixels


def build(config: Config, checkpoint: str, device: str) -> nn.Module:
    """Build the model of a config, load all its weights, and set it to eval.

    Raises:
        ValueError: The checkpoint cannot be read safely, or does not fit the model.
    """
    init_default_scope(config.get('default_scope', 'mmseg'))
    model = MODELS.build(config.model)
    weights = load_weights(checkpoint)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f'{checkpoint} does not fit the config: {error}') from error
    return model.to(device).eval()


def load_weights(checkpoint: str) -> dict[str, Tensor]:
    """Read a checkpoint of mmengine without running code of it, which mmengine's loader may.

    Returns:
        Name -> tensor.

    Raises:
        ValueError: It is missing, refused by torch's safe loader, or holds no weights.
    """
    try:
        state = torch.load(checkpoint, map_location='cpu', weights_only=True)
    except Exception as error:  # a file that is no checkpoint raises many kinds
        # torch surrounds its reason by advice to load without safety
        reason = str(error).partition('WeightsUnpickler error: ')[2].split('\n')[0] or error
        raise ValueError(f'{checkpoint} cannot be read safely as a checkpoint: {reason}') from error
    if isinstance(state, dict):
        state = state.get('state_dict', state)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f'{checkpoint} holds no weights (name -> tensor)')
    consume_prefix_in_state_dict_if_present(state, 'module.')
    return state


def build_dataset(config: Config, split: str, data_root: str | None):
    """Build the data set of ``val_dataloader`` or ``test_dataloader``.

    A relative root that is not in the working directory is looked for in the repository.

    Raises:
        ValueError: The config has no such loader; or what the data set raises for missing files.
    """
    init_default_scope(config.get('default_scope', 'mmseg'))
    if not config.get(f'{split}_dataloader'):
        raise ValueError(f'{config.filename} has no {split}_dataloader: give another --split')
    settings = config[f'{split}_dataloader'].dataset
    root = Path(data_root or settings.get('data_root') or '.')
    if data_root is None and not root.is_absolute() and not root.exists():
        root = ROOT / root
    settings.data_root = str(root)
    return DATASETS.build(settings)


def has_sid(model: nn.Module) -> bool:
    """Whether the model has a neck that decouples and a head that shows its maps."""
    return bool(
        getattr(model, 'with_neck', False)
        and getattr(model.neck, 'sid_outputs', False)
        and isinstance(getattr(model, 'auxiliary_head', None), SIDHead)
    )


@contextlib.contextmanager
def sid_in_eval(model: nn.Module) -> Iterator[None]:
    """Let the neck return fg, bg, uc in eval mode, and set it back."""
    before = model.neck.sid_in_eval
    model.neck.sid_in_eval = True
    try:
        yield
    finally:
        model.neck.sid_in_eval = before


@torch.no_grad()
def sid_maps(model: nn.Module, data: dict, size: tuple[int, int]) -> list[np.ndarray]:
    """Probabilities of foreground, background and uncertainty.

    Args:
        model: A model for which :func:`has_sid` holds, in eval mode.
        data: A batch of one sample, as collated.
        size: Height and width of the result.

    Returns:
        Three arrays (height, width) in 0..1.
    """
    inputs = model.data_preprocessor(data, False)['inputs']
    with sid_in_eval(model):
        logits = model.auxiliary_head.forward(model.extract_feat(inputs))
    maps = [nn.functional.interpolate(x, size, mode='bilinear', align_corners=True) for x in logits]
    return [x.sigmoid()[0, 0].cpu().numpy() for x in maps]


def label_map(sample, key: str) -> np.ndarray:
    """A label map of a data sample, (H, W)."""
    return getattr(sample, key).data.squeeze(0).cpu().numpy()


def picture(inputs: Tensor, size: tuple[int, int]) -> np.ndarray:
    """The packed image (3, h, w), BGR, as RGB (height, width, 3)."""
    image = inputs.permute(1, 2, 0).numpy()[..., ::-1]
    if image.shape[:2] == size:
        return np.ascontiguousarray(image)
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def outline(
    image: np.ndarray, tile: int, masks: Sequence[np.ndarray], colours: Sequence[tuple]
) -> np.ndarray:
    """Draw the contours of masks (H, W) over an image enlarged to ``tile`` pixels of width."""
    canvas = enlarge(image, tile)
    for mask, colour in zip(masks, colours, strict=True):
        big = enlarge(mask.astype(np.uint8), tile, cv2.INTER_NEAREST_EXACT)
        lines, _ = cv2.findContours(big, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, lines, -1, colour, max(1, tile // 96), cv2.LINE_AA)
    return canvas


def enlarge(image: np.ndarray, tile: int, interpolation: int | None = None) -> np.ndarray:
    """Resize to ``tile`` pixels of width, keeping the aspect ratio."""
    height, width = image.shape[:2]
    if interpolation is None:
        interpolation = cv2.INTER_CUBIC if tile > width else cv2.INTER_AREA
    size = (tile, round(height * tile / width))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=interpolation))


def grey(mask: np.ndarray, foreground: Sequence[int], ignored: int) -> np.ndarray:
    """Foreground white, background black, ignored pixels grey; RGB."""
    shade = np.where(np.isin(mask, foreground), 255, np.where(mask == ignored, 128, 0))
    return shade.astype(np.uint8)[..., None].repeat(3, 2)


def heat(probability: np.ndarray, tile: int) -> np.ndarray:
    """A probability map in colours, from dark (0) to bright (1); RGB."""
    values = np.clip(enlarge(probability.astype(np.float32), tile), 0, 1)
    return cv2.applyColorMap((255 * values).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]


def write(canvas: np.ndarray, text: str, x: int, y: int, size: float = 0.42) -> int:
    """Write text in black; returns the x behind it."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(canvas, text, (x, y), font, size, (20, 20, 20), 1, cv2.LINE_AA)
    return x + cv2.getTextSize(text, font, size, 1)[0][0]


def draw_row(model: nn.Module, item: dict, tile: int) -> tuple[list[np.ndarray], str, float]:
    """Predict one sample and draw its tiles; returns them, its name and its Dice."""
    data = pseudo_collate([item])
    with torch.no_grad():
        sample = model.test_step(data)[0]
    if 'gt_sem_seg' not in sample:
        raise ValueError(f'{sample.get("img_path")} has no mask: a contact sheet shows the truth')
    truth, predicted = label_map(sample, 'gt_sem_seg'), label_map(sample, 'pred_sem_seg')
    foreground = tuple(range(1, model.decode_head.num_classes))
    ignored = model.decode_head.ignore_index
    counts = confusion_counts(predicted, truth, foreground, ignored)
    dice = float(scores_from_counts(counts)['dice'])

    image = picture(item['inputs'], truth.shape)
    masks = [np.isin(truth, foreground), np.isin(predicted, foreground)]
    tiles = [enlarge(image, tile)]
    for mask in (truth, predicted):
        tiles.append(enlarge(grey(mask, foreground, ignored), tile, cv2.INTER_NEAREST_EXACT))
    tiles.append(outline(image, tile, masks, (TRUTH, PREDICTED)))
    if has_sid(model):
        tiles += [heat(x, tile) for x in sid_maps(model, data, truth.shape)]
    return tiles, Path(sample.img_path).stem, dice


def draw_sheet(model: nn.Module, dataset, indices: Sequence[int], tile: int = 144) -> np.ndarray:
    """Draw the sheet.

    Args:
        model: A segmentor in eval mode.
        dataset: Data set with masks, whose pipeline ends in ``PackSegInputs``.
        indices: Which of its images, in this order.
        tile: Width of a picture in pixels. Default 144.

    Returns:
        RGB, uint8.

    Raises:
        ValueError: An index outside the data set, none at all, or an image without a mask.
    """
    wrong = [i for i in indices if not 0 <= i < len(dataset)]
    if wrong or not len(indices):
        raise ValueError(f'indices must lie in 0..{len(dataset) - 1}, got {wrong or "none"}')
    rows = []
    for index in indices:
        tiles, name, dice = draw_row(model, dataset[index], tile)
        height = tiles[0].shape[0] + GAP
        row = np.full((height, MARGIN + len(tiles) * (tile + GAP), 3), 255, np.uint8)
        for column, image in enumerate(tiles):
            x = MARGIN + column * (tile + GAP)
            row[GAP:, x : x + tile] = image
        write(row, name if len(name) <= 16 else f'{name[:15]}~', 6, height // 2 - 4)
        write(row, f'Dice {dice:.3f}', 6, height // 2 + 16, 0.5)
        rows.append(row)
    header = np.full((HEADER, rows[0].shape[1], 3), 255, np.uint8)
    titles = ['image', 'truth', 'prediction', None, *(f'P({name})' for name in MAPS)]
    for column in range((rows[0].shape[1] - MARGIN) // (tile + GAP)):
        x = MARGIN + column * (tile + GAP) + 2
        if titles[column]:
            write(header, titles[column], x, 20)
            continue
        for title, colour in (('truth', TRUTH), ('prediction', PREDICTED)):
            cv2.rectangle(header, (x, 11), (x + 9, 20), colour, -1)
            x = write(header, title, x + 13, 20) + 8
    return np.concatenate([header, *rows])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out', type=Path, help='PNG to write (default: contact_sheet_SPLIT.png beside CHECKPOINT)'
    )
    parser.add_argument('--num', type=int, default=10, help='images, evenly spaced (default: 10)')
    parser.add_argument('--indices', type=int, nargs='+', help='these images instead, from 0')
    parser.add_argument('--split', choices=('val', 'test'), default='val', help='default: val')
    parser.add_argument('--data-root', help="instead of the config's")
    parser.add_argument('--tile', type=int, default=144, help='width in pixels (default: 144)')
    parser.add_argument('--device', default='cpu', help='default: cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='key=value ...')
    args = parser.parse_args(argv)
    for name, least in (('num', 1), ('tile', 32)):
        if getattr(args, name) < least:
            parser.error(f'--{name} must be >= {least}, got {getattr(args, name)}')
    return args


def run(args: argparse.Namespace) -> Path:
    """Draw the sheet and return its file.

    Raises:
        ValueError: The config, the checkpoint, the device, the data or ``--out`` cannot be used.
        OSError: A file cannot be read or written.
    """
    check_device(args.device)
    config = read_config(args.config, args.cfg_options)
    model = build(config, args.checkpoint, args.device)
    dataset = build_dataset(config, args.split, args.data_root)
    out = args.out or Path(args.checkpoint).parent / f'contact_sheet_{args.split}.png'
    samples = map(dataset.get_data_info, range(len(dataset)))
    pictures = [s.get(key) for s in samples for key in ('img_path', 'seg_map_path')]
    refuse_inputs('--out', out, [args.config, args.checkpoint, *pictures])
    indices = args.indices
    if indices is None:
        number = min(args.num, len(dataset))
        indices = [int(i) for i in np.linspace(0, len(dataset) - 1, number).round()]
    sheet = draw_sheet(model, dataset, indices, args.tile)
    out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(out), sheet[..., ::-1]):
        raise ValueError(f'{out} cannot be written (end it in .png)')
    return out


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    args = parse_args(argv)
    try:
        print(run(args))
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
