"""Changes the package in places where a test must notice, one at a time, in a copy of the tree.

    make mutate                          # all, some five minutes on one core
    python tools/dev/mutate.py seed EMA  # those whose name holds one of these words

Exit status: 0 all were noticed, 1 one was not, or what it changes is no longer there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ('.git', '.venv', '.*_cache', 'build', 'dist', 'work_dirs', '__pycache__')


class Mutant(NamedTuple):
    """A text, unique in its file, that is replaced, and the tests that must fail then."""

    name: str
    file: str
    old: str
    new: str
    tests: str


P, B, T = 'condseg_mmseg/', 'configs/_base_/', 'tests/'
SETS = B + 'datasets/binary_256x256.py'
OURS1 = T + 'test_recipes.py::test_constants[condseg-stage1_r50_1xb8-300e_kvasir-seg-256x256]'
STAGE2 = T + 'test_recipes.py::test_constants[condseg_r50_{}kvasir-seg-256x256]'
OURS2 = STAGE2.format('1xb12-300e_')
LITE0 = T + 'test_recipes_small.py::test_constants[condseg_lite0_1xb8-12e_kvasir-seg-160x160]'
VIEW, LOSSES = P + 'models/data_preprocessors/strong_view.py', P + 'models/losses/functional.py'
OPTIONS, DATA = T + 'cli/test_option_values.py', T + 'cli/test_option_values_data.py'
DOCTOR = P + 'doctor/dataset.py'
SIZES = T + 'datasets/test_resize_with_mask.py'
MUTANTS = (
    Mutant('grayscale of the strong view', VIEW, 'prob: float = 0.5', 'prob: float = 0.4', OURS1),
    Mutant('jitter on every image', VIEW, '_batch, p=1.0),\n            RandomGrayscale',
           '_batch, p=0.8),\n            RandomGrayscale', OURS1),
    Mutant('cut-out', SETS, '(0.125, 0.125)', '(0.25, 0.25)', OURS2),
    Mutant('rotation of stage 1', SETS, 'degree=90', 'degree=45', OURS1),
    Mutant('patience', B + 'schedules/schedule_300e.py', 'patience=30', 'patience=10', OURS2),
    Mutant('attention order of the paper', B + 'models/condseg_r50_paper.py', "('bg', 'fg')",
           "('fg', 'bg')", STAGE2.format('paper_1xb4-300e_')),
    Mutant('momentum of EMA', B + 'schedules/schedule_cpu.py', 'momentum=0.01', 'momentum=0.05',
           LITE0),
    Mutant('order of EMA and channels-last', B + 'schedules/schedule_cpu.py',
           '    *_base_.custom_hooks,\n]',
           ']\ncustom_hooks = [*_base_.custom_hooks, *custom_hooks]', LITE0),
    Mutant('scale of the op', P + 'ops/outlook.py', '// num_heads) ** -0.5',
           '// num_heads) ** -0.25', T + 'ops/test_outlook.py'),
    Mutant('background target of SID', P + 'models/losses/sid.py', '= 1 - target, valid',
           '= target, valid', T + 'models/losses/test_sid.py'),
    Mutant('bound of the area weight', LOSSES, 'math.atanh(1 / max_weight)', '1e-6',
           T + 'models/losses/test_functional.py'),
    Mutant('order of the channels', P + 'models/data_preprocessors/two_view.py',
           "channel_order != ('rgb'", "channel_order == ('rgb'",
           T + 'models/data_preprocessors/test_two_view.py'),
    Mutant('policy strict', P + 'evaluation/functional.py', 'both_empty, 1.0, 0.0',
           'both_empty, 0.0, 0.0', T + 'evaluation/test_functional.py'),
    Mutant('policy skip', P + 'evaluation/functional.py', 'values[~np.isnan(values)]',
           'np.nan_to_num(values)', T + 'evaluation/test_functional.py'),
    Mutant('masks are cut at 0.5', P + 'datasets/mask_resize.py', 'share >= 0.5', 'share > 0.6',
           SIZES),
    Mutant('a test needs every weight', P + 'engine/strict_load.py', 'elif missing or shapes:',
           'elif shapes:', T + 'engine/test_strict_load.py'),
    Mutant('stage 2 needs every weight', P + 'engine/strict_pretrained.py',
           "'missing': [name for name in missing if name in wanted]", "'missing': []",
           T + 'engine/test_strict_pretrained.py'),
    Mutant('weights under model', P + 'engine/checkpoint_loader.py', "('state_dict', 'model')",
           "('state_dict',)", T + 'engine/test_read_weights.py'),
    Mutant('the lock excludes', P + 'utils/lock.py', 'LOCK_EX', 'LOCK_SH',
           T + 'utils/test_lock.py'),
    Mutant('--hand-over last', P + 'apis/_two_stages_record.py', "if which == 'best':",
           'if which:', OPTIONS + '::test_hand_over'),
    Mutant('--gpus', P + 'apis/train.py', 'amp, cfg_options), gpus)', 'amp, cfg_options))',
           OPTIONS + '::test_gpus'),
    Mutant('--map-norm', P + 'evaluation/per_image_metric.py', 'empty_policy, map_norm, surface',
           "empty_policy, 'none', surface", OPTIONS + '::test_map_norm'),
    Mutant('--surface-tolerance', P + 'evaluation/extra_scores.py', 'float(surface_tolerance)',
           '2.0', OPTIONS + '::test_surface_tolerance'),
    Mutant('--seed of evaluate', P + 'evaluation/per_image_metric.py',
           'self.bootstrap, self.bootstrap_seed', 'self.bootstrap', OPTIONS),
    Mutant('--resamples', P + 'cli/compare.py', 'resamples=args.resamples', 'resamples=1000',
           OPTIONS + '::test_resamples_and_seed_of_compare'),
    Mutant('--indices', P + 'apis/contact_sheet.py', 'if indices is None:', 'if True:',
           OPTIONS + '::test_indices_split_and_num'),
    Mutant('what counts as equal', P + 'evaluation/paired.py', 'EQUAL = 1e-9', 'EQUAL = 1e-8',
           OPTIONS + '::test_what_counts_as_equal'),
    Mutant('--near-distance', DOCTOR, 'findings, near_distance,', 'findings, 10,',
           DATA + '::test_near_distance'),
    Mutant('--sheet-num', DOCTOR, 'known, sheet_num)', 'known)', DATA + '::test_sheet_num'),
)  # fmt: skip


def passes(tree: Path, tests: list[str], limit: float | None = 300) -> bool:
    """Run tests in a tree; a run that takes longer than ``limit`` has noticed something."""
    command = [sys.executable, '-m', 'pytest', '-qx', '-m', 'not slow', '-p', 'no:cacheprovider']
    env = os.environ | dict(PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE='1')
    try:
        done = subprocess.run(
            [*command, *tests], cwd=tree, env=env, timeout=limit, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):  # no test was found, or pytest itself failed
        raise SystemExit(f'pytest ended with status {done.returncode}:\n{done.stdout[-2000:]}')
    return done.returncode == 0


def fate(tree: Path, mutant: Mutant) -> str:
    """Apply a mutant to the copy, run its tests, and take it back."""
    path = tree / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        return f'its text occurs {text.count(mutant.old)} times'
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        return 'SURVIVED' if passes(tree, [mutant.tests]) else 'noticed'
    finally:
        path.write_text(text)


def main(words: list[str]) -> int:
    """Print a line for each mutant."""
    chosen = [m for m in MUTANTS if not words or any(word in m.name for word in words)]
    fates = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / 'tree'
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
        if not passes(tree, sorted({m.tests for m in chosen}), limit=None):
            raise SystemExit('the tests fail without any change')
        for mutant in chosen:
            start = time.monotonic()
            fates.append(fate(tree, mutant))
            took = f'{time.monotonic() - start:3.0f} s'
            print(f'{fates[-1]:<10} {took}  {mutant.name} ({mutant.file})', flush=True)
    print(f'{fates.count("noticed")} of {len(fates)} were noticed')
    return int(set(fates) != {'noticed'})


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
