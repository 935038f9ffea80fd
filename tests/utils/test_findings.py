"""The collection of what is wrong."""

from condseg_mmseg.utils.findings import Finding, Findings


def test_findings_are_counted_and_ordered_by_severity_then_kind():
    findings = Findings(dict(note='info', bad='error', odd='warning', worse='error'))
    for kind in ('worse', 'note', 'odd', 'bad', 'worse'):
        findings.add(kind, f'it is {kind}', [f'{kind}.png'], ['a/train'])
    assert findings.counts() == dict(error=3, warning=1, info=1)
    assert [f.kind for f in findings.in_order()] == ['bad', 'worse', 'worse', 'odd', 'note']
    assert [f.kind for f in findings.of('error')] == ['worse', 'bad', 'worse']
    assert findings[2] == Finding('odd', 'warning', ('a/train',), ('odd.png',), 'it is odd')
    assert list(findings[2].as_dict().items()) == [
        ('kind', 'odd'), ('severity', 'warning'), ('splits', ['a/train']), ('files', ['odd.png']),
        ('detail', 'it is odd'),
    ]  # fmt: skip
