"""Pages: links lead somewhere, commands have the options that they are shown with."""

import argparse
import re
import shlex

import pytest
import results
from helpers import ROOT

from condseg_mmseg.cli import make_parser

SKIP = ('.venv', 'build', 'data', 'work_dirs', '.pytest_cache')
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob('*.md')
    if path.relative_to(ROOT).parts[0] not in SKIP
)
LINK = re.compile(r'\[[^]]*\]\(([^)#\s]*)(?:#([^)\s]*))?\)')


def anchors(text):
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r'^#+ (.*)$', text, re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def without_code(text):
    return re.sub(r'^```.*?^```|`[^`\n]*`', '', text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    path = ROOT / page
    dead = []
    for target, anchor in LINK.findall(without_code(path.read_text(encoding='utf-8'))):
        if target.startswith(('http:', 'https:', 'mailto:')):
            continue
        found = path.parent / target if target else path
        if not found.exists():
            dead.append(target)
        elif anchor and anchor not in anchors(found.read_text(encoding='utf-8')):
            dead.append(f'{target}#{anchor}')
    assert dead == []


def test_every_page_is_in_the_index():
    index = {target for target, _ in LINK.findall((ROOT / 'docs' / 'README.md').read_text())}
    pages = {path.name for path in (ROOT / 'docs').glob('*.md')} - {'README.md'}
    assert sorted(pages - index) == []


def commands():
    """Lines ``condseg NAME ...`` of all code blocks, with the page."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding='utf-8').replace('\\\n', ' ')
        for block in re.findall(r'^```(?:bash|console)?\n(.*?)^```', text, re.M | re.S):
            for line in block.splitlines():
                if line.strip().startswith('condseg '):
                    yield page, line.strip()


@pytest.fixture(scope='module')
def parsers():
    """Name of a sub-command -> its parser."""
    (commands,) = (
        action
        for action in make_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return commands.choices


def test_commands_have_the_options_that_pages_show(parsers):
    wrong, count = [], 0
    for page, line in commands():
        words = shlex.split(line, comments=True)[1:]
        parser = parsers.get(words[0])
        if parser is None:
            wrong.append((page, line))
            continue
        known = set(parser._option_string_actions)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                known |= {
                    name for one in action.choices.values() for name in one._option_string_actions
                }
        options = {word.partition('=')[0] for word in words if re.match(r'--?[a-z]', word)}
        wrong += [(page, line, option) for option in options - known]
        count += 1
    assert wrong == []
    assert count > 20


def test_readme_is_short_and_has_the_scores_of_the_model_card():
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    card = (ROOT / 'weights' / 'README.md').read_text(encoding='utf-8')
    rows = [line for line in card.splitlines() if line.startswith('| ')]
    assert len(rows) == 4
    if not results.readme():  # else the table of the comparison takes their place
        assert '\n'.join(rows) in readme
    sentences = re.sub(r'(?m)^\|.*$', '', without_code(readme))
    assert len(sentences.split()) < 550
