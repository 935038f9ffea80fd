"""docs/method.md: what docstrings cite is there, and its diagrams are those of the script."""

import re

import pytest
from helpers import ROOT

METHOD = ROOT / 'docs' / 'method.md'
TEXT = METHOD.read_text()
HEADINGS = re.findall(r'^###? (?:(\d)\. )?(.+)$', TEXT, re.M)
NUMBERS = {number for number, _ in HEADINGS if number}
NAMES = {title.partition(':')[0] for _, title in HEADINGS}
ROWS = set(re.findall(r'^\| ([a-z])\. ', TEXT, re.M))
# method section 7, row d; method, sections 2 to 4; (method "Stage 2")
CITATION = re.compile(
    r'\b[Mm]ethod(?:\.md)?,? (?:sections? (?P<first>\d)(?: (?:to|and) (?P<last>\d))?'
    r'|(?:section )?"(?P<name>[^"]+)")(?:, rows? (?P<rows>[a-z](?:(?:, | and | to )[a-z])*)\b)?'
)
BEGINNING = re.compile(r'\b[Mm]ethod(?:\.md)?,? (?:sections?\b|rows?\b|")')


def missing(text):
    """Citations of ``text`` that docs/method.md does not have, and the number of all."""
    text = re.sub(r'\s+(?:# )?', ' ', text)
    found = list(CITATION.finditer(text))
    wrong = [text[m.start() : m.start() + 60] for m in BEGINNING.finditer(text)
             if m.start() not in {cited.start() for cited in found}]  # fmt: skip
    for cited in found:
        sections = {cited['first'], cited['last']} - {None}
        rows = set(re.findall(r'\b[a-z]\b', cited['rows'] or ''))
        if not sections <= NUMBERS or not rows <= ROWS or cited['name'] not in {None, *NAMES}:
            wrong.append(cited[0])
    return wrong, len(found)


def test_it_has_the_sections_and_the_rows():
    assert sorted(NUMBERS) == list('12345678')
    assert sorted(ROWS) == list('abcdefghij')


@pytest.mark.parametrize(
    ('text', 'wrong'),
    [
        ('as in method section 7, row d.', []),
        ('(method,\n    section 7, rows a and e), method sections 2 to 4', []),
        ('# without it (method,\n# "Settings")', []),
        ('Method section\n    9', ['Method section 9']),
        ('method section 7, row k', ['method section 7, row k']),
        ('method "Stage 3"', ['method "Stage 3"']),
        ('method section on losses', ['method section on losses']),
    ],
)
def test_a_wrong_citation_is_found(text, wrong):
    assert missing(text)[0] == wrong


def test_what_the_code_cites_is_there():
    files = [
        p
        for folder in ('condseg_mmseg', 'configs', 'tools')
        for p in ROOT.glob(f'{folder}/**/*.py')
    ]
    results = {path: missing(path.read_text()) for path in files}
    assert {path: wrong for path, (wrong, _) in results.items() if wrong} == {}
    assert sum(count for _, count in results.values()) >= 12


def test_what_the_one_file_cites_is_there():
    text = (ROOT / 'docs' / 'condseg_in_one_file.py').read_text()
    sections = set(re.findall(r'sections? (\d)', text))
    assert sections >= set('123456')
    assert sections <= NUMBERS
    rows = set(re.findall(r'\brow ([a-z])\b', text)) - {'x'}
    assert rows == set('abcdefgh')


def test_every_diagram_is_shown():
    folder = METHOD.parent / 'method'
    shown = set(re.findall(r'!\[[^]]+\]\(method/(\w+\.svg)\)', TEXT))
    assert shown == {path.name for path in folder.glob('*.svg')}
    assert len(shown) == 7


def test_links_lead_somewhere():
    for target, anchor in re.findall(r'\]\(([\w./-]+)(?:#([\w-]+))?\)', TEXT):
        assert (METHOD.parent / target).is_file(), target
        if anchor:
            headings = re.findall(r'^#+ (.+)$', (METHOD.parent / target).read_text(), re.M)
            assert anchor in [h.lower().replace(' ', '-') for h in headings]
    page = (METHOD.parent / 'differences.md').read_text()
    (anchor,) = re.findall(r'method\.md#([\w-]+)', page)
    title = next(f'{number} {title}' for number, title in HEADINGS if number == '7')
    assert anchor == title.lower().replace(' ', '-').replace(',', '')
