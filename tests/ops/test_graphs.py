"""Graphs of the op: what is exported runs anywhere, what is compiled calls the library."""

import io
import shutil

import pytest
import torch

from condseg_mmseg.ops import outlook_aggregate
from condseg_mmseg.ops.library import LIBRARY


class _Op(torch.nn.Module):
    def forward(self, values, logits):
        return outlook_aggregate(values, logits, 2, 3)


def test_what_is_exported_holds_no_call_of_the_library():
    values, logits = torch.randn(2, 26, 19, 33), torch.randn(2, 162, 19, 33)
    expected = _Op()(values, logits)
    height, width = torch.export.Dim('h', min=2, max=64), torch.export.Dim('w', min=2, max=64)
    sizes = {2: height, 3: width}
    exported = torch.export.export(
        _Op(), (values, logits), dynamic_shapes={'values': sizes, 'logits': sizes}
    )
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(_Op(), (values, logits)), file)
    file.seek(0)
    traced = torch.jit.load(file)
    for graph in (str(exported.graph), str(traced.graph)):
        assert 'condseg_mmseg.outlook' not in graph
        assert 'condseg_mmseg::outlook' not in graph
    assert '_.' not in ' '.join(str(node.target) for node in exported.graph.nodes)  # in place
    for module in (exported.module(), traced):
        torch.testing.assert_close(module(values, logits), expected, rtol=0, atol=2e-6)
    values, logits = torch.randn(2, 26, 40, 5), torch.randn(2, 162, 40, 5)
    expected = _Op()(values, logits)
    torch.testing.assert_close(exported.module()(values, logits), expected, rtol=0, atol=2e-6)


@pytest.mark.skipif(
    not (LIBRARY.is_file() or shutil.which('cc')), reason='neither the library nor a compiler'
)
def test_compiled_auto_calls_the_library():
    values, logits = torch.randn(2, 26, 19, 33), torch.randn(2, 162, 19, 33)
    graphs = []

    def spy(graph, _):
        graphs.append(str(graph.graph))
        return graph

    torch.compiler.reset()
    out = torch.compile(_Op(), backend=spy, fullgraph=True)(values, logits)
    assert torch.equal(out, _Op()(values, logits))
    assert 'condseg_mmseg.outlook' in graphs[0]
