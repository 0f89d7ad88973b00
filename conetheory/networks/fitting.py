"""A state dict brought to what a network expects: prefixes of wrappers, dtypes, the size of the head."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from conetheory.errors import InputError

State = dict[str, Any]
COUNTER = "num_batches_tracked"  # counts training steps; no output depends on it and old files lack it
EXTRA = "_extra_state"  # what a module's own `get_extra_state` gives, of any type
COMPILED = "_orig_mod."  # of torch.compile, in front of all names
COMPILED_PARTS = f"...{COMPILED}"  # or of those of parts, wherever they are
# of DataParallel, Lightning modules and others that hold the network under such a name
PREFIXES = ("module.", COMPILED, COMPILED_PARTS, "model.", "net.", "network.", "backbone.", "encoder.")


def fit(build: Callable[[int | None], nn.Module], state: State, source: str, name: str) -> nn.Module:
    """The network `build(classes)` with these weights, in evaluation mode; the head's size follows the file.

    `build(None)` is the network with its usual head. It is built without storage first, so that no time
    goes into an initialisation that the file overwrites. Names are taken as they are where they fit, else
    without what wrappers put before them. Numbers become those of the network's dtype. Raises `InputError`,
    naming the first tensor that is missing, unexpected, of another shape or of another kind.
    """
    with torch.device("meta"):
        model = build(None)
        if any(is_lazy(p) for p in model.parameters()):
            raise InputError(f"{name} has layers without parameters yet; run it once, then load the weights")
        state = _completed(renamed(state, model.state_dict()), model)
        if (classes := _head_size(model.state_dict(), state)) is not None:
            model = build(classes)
    expected = model.state_dict()
    if problem := _misfit(expected, state):
        raise InputError(f"{source} does not fit {name}: {problem}")
    state = _cast(expected, state, source)
    check_finite(state, source)
    model.load_state_dict(state, assign=True)
    return model.eval()


def renamed(state: State, expected: Mapping[str, Any]) -> State:
    """The state with its names as they are, or without wrappers' prefixes, whichever fits `expected` best.

    Names that fit are never touched: a network may have a part called `module` or `model` itself.
    """
    wanted = {key for key in expected if not key.endswith(COUNTER)}
    best: tuple[int, int] | None = None
    chosen: Callable[[str], str] = str
    for rank, rename in enumerate(_renamings(list(state))):
        names = {rename(key) for key in state if not key.endswith(COUNTER)}
        score = (len(names & wanted), -rank)
        if best is None or score > best:
            best, chosen = score, rename
    found: State = OrderedDict((chosen(key), value) for key, value in state.items())
    known = getattr(state, "_metadata", None)  # versions of the modules, which some of torchvision's ask for
    if known is not None:
        versions = {chosen(f"{key}.").removesuffix("."): value for key, value in known.items()}
        found._metadata = OrderedDict({"": known.get("", {})} | versions)  # pyright: ignore[reportAttributeAccessIssue] (torch hangs it on the dict)
    return found


def _completed(state: State, model: nn.Module) -> State:
    """The state with all names of a parameter that several modules share, of which a file may have one."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for shared in names.values():
        held = next((state[name] for name in shared if name in state), None)
        if held is not None:
            state |= {name: held for name in shared if name not in state}
    return state


def _renamings(keys: list[str]) -> Iterator[Callable[[str], str]]:
    """The identity, then ever longer sequences of prefixes taken away that some of the names have.

    One that would make two names the same is none.
    """
    waiting: list[tuple[str, ...]] = [()]
    seen = {tuple(keys)}
    yield str
    while waiting:
        steps = waiting.pop(0)
        for step in PREFIXES:
            rename = _Without((*steps, step))
            names = tuple(rename(key) for key in keys)
            if names not in seen and len(set(names)) == len(keys):
                seen.add(names)
                waiting.append((*steps, step))
                yield rename


class _Without:
    """A name without some prefixes, one after the other; what torch.compile adds to parts, wherever it is."""

    def __init__(self, steps: tuple[str, ...]) -> None:
        self.steps = steps

    def __call__(self, key: str) -> str:
        for step in self.steps:
            key = key.replace(COMPILED, "") if step == COMPILED_PARTS else key.removeprefix(step)
        return key


def _head_size(expected: Mapping[str, Any], state: Mapping[str, Any]) -> int | None:
    """The length of the first axis of the tensors that differ from the expected in it alone, if it is one."""
    both = [(ours, state[k]) for k, ours in expected.items() if k in state]
    pairs = [(a.shape, b.shape) for a, b in both if isinstance(a, Tensor) and isinstance(b, Tensor)]
    sizes = {theirs[:1] for ours, theirs in pairs if ours != theirs}
    if len(sizes) != 1 or any(ours[1:] != theirs[1:] for ours, theirs in pairs):
        return None
    (size,) = sizes
    return size[0] if size and size[0] > 0 else None


def _misfit(expected: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    for name, ours in expected.items():
        if name not in state and not name.endswith(COUNTER):
            return f"{_described(name, ours)} is missing"
    for name, theirs in state.items():
        if name not in expected and not name.endswith(COUNTER):
            return f"{_described(name, theirs)} has no place in it"
    for name, ours in expected.items():
        if name in state and isinstance(ours, Tensor) and isinstance(state[name], Tensor):
            found, wanted = tuple(state[name].shape), tuple(ours.shape)
            if found != wanted:
                return f"tensor {name!r} is {found} in the file and {wanted} in the network"
    return None


def _described(name: str, value: Any) -> str:
    return f"tensor {name!r} {tuple(value.shape)}" if isinstance(value, Tensor) else f"the entry {name!r}"


def _cast(expected: Mapping[str, Any], state: State, source: str) -> State:
    """The state in the expected order and dtypes, with zero for counters that the file lacks."""
    found: State = OrderedDict()
    for key, ours in expected.items():
        if key not in state:
            found[key] = torch.zeros(ours.shape, dtype=ours.dtype)
        elif isinstance(ours, Tensor) and isinstance(state[key], Tensor) and not key.endswith(EXTRA):
            found[key] = _of_dtype(state[key], ours.dtype, f"{source}: tensor {key!r}", key.endswith(COUNTER))
        else:
            found[key] = state[key]
    held = getattr(state, "_metadata", getattr(expected, "_metadata", OrderedDict()))
    found._metadata = held  # pyright: ignore[reportAttributeAccessIssue] (torch hangs it on the dict)
    return found


def _of_dtype(tensor: Tensor, dtype: torch.dtype, what: str, lenient: bool) -> Tensor:
    """The tensor in the network's dtype; numbers don't become integers, nor the other way round."""
    ours, theirs = str(dtype)[6:], str(tensor.dtype)[6:]
    if tensor.is_floating_point() != dtype.is_floating_point and not lenient:
        if dtype.is_floating_point:
            raise InputError(f"{what} holds {theirs}, not floating-point numbers")
        raise InputError(f"{what} holds {theirs}, where the network has {ours}")
    found = tensor.to(dtype)
    if not (dtype.is_floating_point or lenient) and not torch.equal(found.to(tensor.dtype), tensor):
        raise InputError(f"{what} holds numbers beyond {ours}, which the network has")
    return found


def check_finite(state: Mapping[str, Any], source: str) -> None:
    """Raise `InputError`, naming the first tensor, where a weight is NaN or infinite."""
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or is_lazy(tensor):
            continue
        if not tensor.is_floating_point() or tensor.is_meta:
            continue
        wide = tensor.float() if tensor.dtype.itemsize == 1 else tensor  # torch can't add numbers of a byte
        if wide.sum().isfinite():  # of what is not finite no sum is; one beyond the range proves nothing
            continue
        if bad := int((~torch.isfinite(wide)).sum()):
            raise InputError(
                f"{source}: tensor {name!r} holds {bad} NaN or infinite values of {tensor.numel()}"
            )
