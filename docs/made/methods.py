"""A page for each registered method, and the table of all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from conetheory.predict.registry import applies, theories
from conetheory.references import cited
from conetheory.rules.registry import Method, methods
from docs.made.markdown import code, plain, prose, sections, table
from docs.made.results import deficit, number, read

MEASURED = {"cifar10_cnn": "CIFAR-10 network", "squeezenet1_1": "SqueezeNet 1.1"}
TODAY = {
    "vit_s_16-random": "ViT-S/16, random weights",
    "convnext_tiny-random": "ConvNeXt-Tiny, random weights",
}
INTRODUCTION = """# Methods

{count} methods are registered. Each has a page with its equation, its parameters, what theory may assume
of it and what was measured. A method of yours is [one class](../tutorials/new-rule.md).

*linear*: the map is linear in the relevance. *nonnegative*: every matrix is nonnegative, so that
certificates speak of it. *sums kept*: columns sum to one where all pools are filled. The three hold for
the default parameters and are tested for every registered method. The last columns are [measured
verdicts](../scores.md#every-method-on-two-networks)."""
NOTATION = """`W+ = max(W, 0)`, `W- = min(W, 0)`, `D(v)` is the diagonal matrix of v, `x` enters an operation
and `z = W x + b` leaves it; relevance goes down by `r -> M r`. Where a denominator is zero the share is
zero."""


def pages() -> dict[str, str]:
    found = methods()
    return {"methods/index.md": index(found)} | {f"methods/{m.name}.md": page(m) for m in found}


def index(found: list[Method]) -> str:
    headings = ("method", "family", "what it propagates", "linear", "nonnegative", "sums kept")
    rows = [
        (
            f"[{m.name}]({m.name}.md)",
            plain(m.family),
            plain(m.description),
            *("yes" if flag else "–" for flag in (m.linear, m.nonnegative, m.sum_preserving)),
            *(plain(_verdict(name, m.name)) for name in MEASURED),
        )
        for m in found
    ]
    named = "Also any `lrp-alphaAbetaB` with A - B = 1, such as `lrp-alpha1.5beta0.5`."
    return sections(
        INTRODUCTION.format(count=len(found)), table((*headings, *MEASURED.values()), rows), named
    )


def page(method: Method) -> str:
    entry = method.entry
    names = ", ".join(f"`{alias}`" for alias in entry.aliases)
    return sections(
        f"# {method.name}",
        f"{plain(method.description[0].upper() + method.description[1:])}. Family: {plain(method.family)}."
        + (f" Also called {names}." if names else ""),
        equation(method),
        NOTATION,
        "## What theory may assume",
        _assumed(method),
        "## Parameters",
        _parameters(method),
        *_said(entry.build),
        "## Measured",
        _measured(method.name),
        "## Source",
        plain(method.source),
        "\n".join(f"- {plain(str(reference))}" for reference in cited(method.source)),
    )


def equation(method: Method) -> str:
    """A method's equation, a line for each of its parts."""
    return code(re.sub(r"([,;])  ", r"\1\n", method.equation)) if method.equation else ""


def _assumed(method: Method) -> str:
    said = {name: applies(name, method) for name in theories()}
    yes = [f"[{name}](../theories.md#{name})" for name, refused in said.items() if refused is None]
    no = [f"- {name}: {plain(refused.reason)}" for name, refused in said.items() if refused is not None]
    flags = {
        "linear in the relevance": method.linear,
        "nonnegative": method.nonnegative,
        "columns sum to one": method.sum_preserving,
        "certified for every image with the same active units": method.fixed_pattern,
        "backpropagated layer by layer": method.backpropagated,
    }
    rows = [(name, "yes" if flag else "no") for name, flag in flags.items()]
    return sections(
        table(("property", "with its default parameters"), rows),
        f"Theories that predict it: {', '.join(yes) or 'none'}.",
        "Those that don't:" if no else "",
        "\n".join(no),
    ).rstrip()


def _parameters(method: Method) -> str:
    found = method.entry.parameters
    if not found:
        return "None."
    rows = [(f"`{name}`", f"`{_shown(default)}`") for name, default in found.items()]
    how = f"`--set NAME=VALUE` on the command line, `parameters={{...}}` in Python. From `{_home(method)}`:"
    return sections(table(("parameter", "default"), rows), how).rstrip()


def _home(method: Method) -> str:
    build = method.entry.build
    return f"{build.__module__}.{build.__qualname__}"


def _shown(default: Any) -> str:
    return str(default) if not hasattr(default, "name") else default.name


def _said(build: Callable[..., Any]) -> list[str]:
    """What the code says of the method itself, and of the family in its module."""
    own, module = build.__dict__.get("__doc__") or "", inspect.getmodule(build)
    own = "" if inspect.isclass(build) and own.startswith(f"{build.__name__}(") else inspect.cleandoc(own)
    family = inspect.cleandoc((module and module.__doc__) or "")
    return [prose(own) if own else "", *(["## Derivation", prose(family)] if family else [])]


def _measured(name: str) -> str:
    headings = (
        "network",
        "deficit at the input",
        "whole map",
        "theory",
        "error, decades",
        "verdict",
        "images",
    )
    rows = []
    for network, title in (MEASURED | TODAY).items():
        row = read(f"methods-{network}.json")["methods"].get(name)
        if row is None:
            continue
        if "left out" in row:
            rows.append((title, *("–",) * 4, plain("left out: " + row["left out"]), "–"))
            continue
        of = row["predicted"] is not None
        rows.append(
            (
                title,
                deficit(_finite(row["measured"])),
                deficit(_finite(row["whole map"])),
                row["theory"].replace("_", "-") if of else "–",
                number(_finite(row["error"]), "+.2f"),
                plain(row["verdict"]),
                str(row["images"]),
            )
        )
    if not rows:
        return "Not yet."
    said = "From the logits: the median of `1 - |cos|` over the channels at each location, and of whole maps."
    return sections(
        table(headings, rows), f"{said} [How](../scores.md#every-method-on-two-networks)."
    ).rstrip()


def _verdict(network: str, method: str) -> str:
    row = read(f"methods-{network}.json")["methods"].get(method, {})
    return row.get("verdict", "–")


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value else value
