"""What results say of a chain, without its weights: of a study in parts, whose files hold it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from conetheory.chain.layers import below
from conetheory.networks.graph import INPUT
from conetheory.results.layout import layer_order


def outlined(chain: Any, starts: Sequence[str], layers: Sequence[str] | None, told: Iterable[Any]) -> Any:
    """The outline of a chain, of plain values (`Outline`).

    Parameters
    ----------
    chain
        any `Chain`.
    starts, layers
        as they were asked for.
    told
        for each result that will be made, the layers that it speaks of.

    Returns
    -------
    dict
        network, method, layers, and of the graph what `results.layout.Layers` asks for.
    """
    graph = chain.graph
    names = {name: graph.resolve(name) for name in (*starts, *(layers or ()), *chain.layers)}
    tensors = [name for name in (INPUT, *graph.nodes) if name in set(names.values())]
    orders = {tuple(layer_order(graph, starts, speaks)) for speaks in told}
    crossings = getattr(graph, "crossings", None)
    method = chain.method
    known = {"described": getattr(method, "described", ""), "family": getattr(method, "family", "external")}
    return {
        "network": {"name": chain.network.name, "provenance": dict(chain.network.provenance)},
        "method": {"name": method.name, **known},
        "layers": list(chain.layers),
        "nodes": list(graph.nodes),
        "names": names,
        "labels": {name: graph.label(name) for name in tensors},
        "shapes": {name: list(graph.shape(name)) for name in tensors},
        "below": {names[start]: below(chain, start, tensors) for start in starts},
        "crossings": [[list(order), dict(crossings(order))] for order in sorted(orders)] if crossings else [],
    }


@dataclass(frozen=True, eq=False)
class OutlinedGraph:
    """What `results.layout.Layers` asks for, and `below`, from the outline of a graph."""

    nodes: tuple[str, ...]
    names: Mapping[str, str]
    labels: Mapping[str, str]
    shapes: Mapping[str, Sequence[int]]
    reached: Mapping[str, Sequence[str]]
    known: dict[tuple[str, ...], Mapping[str, tuple[str, str]]] = field(default_factory=dict)

    def resolve(self, name: str) -> str:
        return self.names.get(name, name)

    def label(self, name: str) -> str:
        return self.labels[name]

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.shapes[name])

    def below(self, top: str) -> Sequence[str]:
        return self.reached[top]

    def crossings(self, layers: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        return self.known.get(tuple(layers), {})


class Outline:
    """In the place of a chain where results are laid out: a network, a method and a graph by their names.

    Parameters
    ----------
    record
        of `outlined`.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.network = SimpleNamespace(**record["network"])
        self.method = SimpleNamespace(**record["method"])
        self.layers = tuple(record["layers"])
        self.graph = OutlinedGraph(
            tuple(record["nodes"]),
            *(record[name] for name in ("names", "labels", "shapes", "below")),
        )
        self.take(record)

    def take(self, record: Mapping[str, Any]) -> None:
        """Add what another part of the study knows of crossings, whose results speak of other layers."""
        for order, found in record["crossings"]:
            self.graph.known[tuple(order)] = {name: tuple(words) for name, words in found.items()}
