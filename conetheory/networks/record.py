"""What each traced call gives, noted as it runs on two images."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from conetheory.errors import InputError, one_line
from conetheory.networks.calls import plain_kind
from conetheory.networks.moves import PARTS

MADE = frozenset(  # of a tensor's shape and dtype alone
    [
        *("new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like"),
        *("empty_like", "sym_size", "_assert_tensor_metadata"),
    ]
)


class Recorder(fx.Interpreter):
    """Runs the traced calls and notes in `meta` what each gave.

    `shape` for a tensor that depends on the image, `(N, 1)` where it is one number for each image; `value`
    for anything else (sizes, parameters); `parts` for several such tensors at once; and `changed`, the live
    tensors that the call overwrote in place.
    """

    def __init__(self, traced: fx.GraphModule, names: dict[fx.Node, str], failure: str) -> None:
        super().__init__(traced)
        self.names, self.failure = names, failure
        self.extra_traceback = False  # it would be appended to the messages

    def run_node(self, item: fx.Node) -> Any:
        versions = {n: v._version for n, v in self.env.items() if isinstance(v, Tensor)}
        try:
            result = super().run_node(item)
        except Exception as error:  # any call of the model may fail in its own way
            raise InputError(f"{self.failure}: layer {self.names[item]!r}: {one_line(error)}") from error
        item.meta["changed"] = [n for n, version in versions.items() if self.env[n]._version != version]
        depends = item.op == "placeholder" or any(
            "shape" in n.meta or "parts" in n.meta for n in item.all_input_nodes
        )
        depends = depends and _kind_of(item) not in MADE
        if isinstance(result, Tensor) and depends:
            item.meta["shape"] = tuple(result.shape) if result.ndim != 1 else (len(result), 1)
            item.meta["like"] = result.new_empty(())
            item.meta["same"] = [n for n in item.meta["changed"] if _same_place(self.env[n], result)]
        elif depends and _kind_of(item) in PARTS:
            item.meta["parts"] = len(result)
        elif item.op != "output":
            item.meta["value"] = result
        return result


def _same_place(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors, known to share storage, are the same part of it."""
    return bool(a.shape == b.shape and a.stride() == b.stride() and a.storage_offset() == b.storage_offset())


def _kind_of(item: fx.Node) -> str:
    return plain_kind(item.target) if item.op in ("call_function", "call_method") else ""
