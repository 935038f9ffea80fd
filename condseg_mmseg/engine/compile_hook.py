"""``torch.compile`` for the parts of a segmentor that take the time."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmseg.registry import HOOKS


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile feature extraction and heads of a segmentor, for training, validation and testing.

    mmengine's own ``compile=True`` compiles the whole training step, optimizer included, and fails
    on PyTorch 2.13. Here backbone and neck are one graph, each head another, without a break for
    the networks of this package; losses and the optimizer run as before. The first step of every
    input size takes minutes on a CPU. Compiled parts ignore ``with_cp``: the compiler chooses
    itself what to compute again. A copy of the model (as ``EMAHook`` makes one) and a pickle hold
    the plain network, not compiled. docs/performance.md has what it gains::

        --cfg-options default_hooks.compile.type=CompileHook

    Args:
        **options: Arguments of ``torch.compile``, e.g. ``mode='max-autotune'`` or
            ``backend='aot_eager'``. Default none.

    Raises:
        TypeError: An argument that ``torch.compile`` does not know, or a model that is no
            segmentor.
    """

    def __init__(self, **options: Any) -> None:
        torch.compile(lambda: None, **options)  # an unknown argument fails now
        self.options = options

    def before_run(self, runner: Any) -> None:
        """Replace the methods by their compiled forms, once."""
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        if not hasattr(model, 'extract_feat'):
            raise TypeError(
                f'CompileHook compiles segmentors with extract_feat, got {type(model).__name__}: '
                'take it out of default_hooks'
            )
        heads = [getattr(model, name, None) for name in ('decode_head', 'auxiliary_head')]
        targets = [(model, 'extract_feat')]
        for head in heads:
            parts = head if isinstance(head, torch.nn.ModuleList) else [head]
            targets += [(part, 'forward') for part in parts if part is not None]
        for owner, name in targets:
            # a second loop of the same runner compiles nothing anew
            if not isinstance(getattr(owner, name), _Compiled):
                setattr(owner, name, _Compiled(owner, name, self.options))
        print_log(
            f'CompileHook: {len(targets)} parts will be compiled at their first call', 'current'
        )


class _Compiled:
    """A compiled method; a copy or a pickle of its owner gets the plain method in its place."""

    def __init__(self, owner: torch.nn.Module, name: str, options: dict[str, Any]) -> None:
        self.owner, self.name = owner, name
        # as a bound method has it; rewrites.py compares it with the forward of the class
        self.__func__ = getattr(type(owner), name)
        self.call = torch.compile(getattr(owner, name), **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # copy and pickle make the new owner before its attributes, so that it has the class's own
        return getattr, (self.owner, self.name)
