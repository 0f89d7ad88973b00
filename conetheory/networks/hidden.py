"""What a module does beside the `forward` of its class, which `torch.fx` drops without a word.

A hook of the outermost module or of one that stays a single call (a convolution, a ReLU) is not traced, nor
is a `forward` that was put on an instance. Pruning, weight and spectral norm are hooks too, but ones that
only set a parameter before the call, which is read after it. A backward hook changes what autograd sends
back, not the outputs, and no method here uses it.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx, nn
from torch.nn.modules import module as everywhere
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from conetheory.errors import UnsupportedLayerError

PARAMETER_HOOKS = (BasePruningMethod, SpectralNorm, WeightNorm)


def refuse_hidden(model: nn.Module) -> None:
    """Raise `UnsupportedLayerError`, naming the module, where the trace would drop something of it."""
    for hooks, kind in (
        (everywhere._global_forward_pre_hooks, "pre-hook"),
        (everywhere._global_forward_hooks, "hook"),
    ):
        for hook in hooks.values():
            raise UnsupportedLayerError(
                f"a forward {kind} of all modules, {_called(hook)}, is registered, "
                "which the trace can't hold; remove it first"
            )
    for name, module in model.named_modules():
        for what in _hidden(module):
            where = f"layer {name!r}" if name else type(module).__name__
            raise UnsupportedLayerError(
                f"{where} has {what}, which the trace can't hold; "
                "put what it does into the modules or remove it"
            )


def _hidden(module: nn.Module) -> Iterator[str]:
    for hooks, kind in ((module._forward_pre_hooks, "pre-hook"), (module._forward_hooks, "hook")):
        for hook in hooks.values():
            if not isinstance(hook, PARAMETER_HOOKS):
                yield f"a forward {kind}, {_called(hook)}"
    if "forward" in vars(module):
        yield "a forward of its own in the place of its class's"
    kind = type(module)
    if kind.__call__ is not nn.Module.__call__ and not isinstance(module, fx.GraphModule):
        yield "a __call__ of its own beside forward"
    if _of_torch(kind) and not _of_torch(kind.forward):
        yield f"a class, {kind.__name__}, whose forward was replaced"


def _of_torch(thing: object) -> bool:
    """Whether fx takes it for a part of torch.nn, whose inside it does not look at."""
    return thing.__module__.startswith(("torch.nn", "torch.ao.nn"))


def _called(hook: object) -> str:
    return repr(getattr(hook, "__qualname__", None) or type(hook).__qualname__)
