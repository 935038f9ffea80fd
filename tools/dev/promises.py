"""Run the tests of ``docs/reliability.md`` in full, and write there what they measured.

make promises                                    # everything, up to an hour
python tools/dev/promises.py tests/load          # some of it: the other rows stay
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from dev_common import ROOT, replace_block

from condseg_mmseg.utils.environment import cpu_name
from condseg_mmseg.utils.files import write_text

PAGE = ROOT / 'docs' / 'reliability.md'
HEAD = '| measured | figure | form | with | date |\n|---|---|---|---|---|'
Rows = dict[str, str]  # what is measured -> its line


def linked_tests(text: str) -> list[str]:
    """Files of tests that the page links; of a linked folder its tests with generated inputs."""
    found: set[str] = set()
    for link in re.findall(r'\]\(\.\./(tests/[^)#]+)\)', text):
        if link.endswith('.py'):
            found |= {link} if Path(link).name.startswith('test_') else set()
        else:
            paths = (ROOT / link).rglob('test_*_properties.py')
            found |= {path.relative_to(ROOT).as_posix() for path in paths}
    return sorted(found)


def rows_of(text: str) -> Rows:
    """Lines of the table on the page."""
    block = text.partition('<!-- figures -->')[2].partition('<!-- /figures -->')[0]
    lines = [line for line in block.splitlines() if line.startswith('| ')][1:]
    return {line.split(' | ')[0][2:]: line for line in lines}


def updated(text: str, figures: dict[str, str], conditions: str) -> str:
    """The page with new figures in its table; rows of other figures stay."""
    rows = rows_of(text)
    rows |= {name: f'| {name} | {value} | {conditions} |' for name, value in figures.items()}
    return replace_block(text, 'figures', '\n'.join([HEAD, *(rows[name] for name in sorted(rows))]))


def run_tests(tests: list[str], figures: Path, reduced: bool) -> int:
    """Run pytest; the tests add their figures to a file."""
    more = {} if reduced else {'CONDSEG_MMSEG_TESTS': 'full'}
    environ = {**os.environ, 'CONDSEG_MMSEG_FIGURES': str(figures), **more}
    command = [sys.executable, '-m', 'pytest', *tests]
    return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode


def main(argv: list[str] | None = None) -> int:
    """Run the tests and write the table; 1 if a test failed, and then nothing is written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else '')
    parser.add_argument('tests', nargs='*', help='files of tests (default: all that are linked)')
    parser.add_argument('--reduced', action='store_true', help='the form that CI runs')
    args = parser.parse_args(argv)
    text = PAGE.read_text(encoding='utf-8')
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / 'figures'
        figures.touch()
        if run_tests(args.tests or linked_tests(text), figures, args.reduced):
            print('a test failed: nothing was written', file=sys.stderr)
            return 1
        found = dict(map(json.loads, figures.read_text(encoding='utf-8').splitlines()))
    machine = f'{cpu_name()}, {os.cpu_count()} cores, torch {torch.__version__}'
    form = 'reduced' if args.reduced else 'full'
    text = PAGE.read_text(encoding='utf-8')  # it may have changed in an hour
    write_text(PAGE, updated(text, found, f'{form} | {machine} | {datetime.date.today()}'))
    return 0


if __name__ == '__main__':
    sys.exit(main())
