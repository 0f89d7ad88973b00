"""What there is: methods, models, theorems."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.table import Table

from conetheory.cli.console import out, say, show

if TYPE_CHECKING:
    from conetheory.rules.registry import Method
    from conetheory.theory.theorems import Theorem

Json = Annotated[bool, Parameter(help="Print as JSON.")]
Name = Annotated[str | None, Parameter(metavar="NAME", help="One method, in full.")]
Entry = Annotated[str | None, Parameter(metavar="ID", help="One entry, in full.")]
Markdown = Annotated[bool, Parameter(help="Print a table in Markdown.")]
FLAGS = ("linear", "nonnegative", "sum_preserving")
LABELS = {"reason": "no other theory"}
PLAIN = (int, float, str, bool, type(None))
# the architectures that the tests run; any feed-forward torchvision classification CNN is accepted
TESTED = {
    "cifar10_cnn": "the paper's small CIFAR-10 network; weights bundled",
    "alexnet": "torchvision",
    "vgg16": "torchvision; the paper's start layers",
    "vgg16_bn": "torchvision; batch norm folded",
    "resnet18": "torchvision",
    "resnet50": "torchvision; the paper's start layers",
    "resnet50_v2": "pre-activation, as in the ONNX model zoo; the paper's start layers; weights from a file",
    "squeezenet1_0": "torchvision",
    "squeezenet1_1": "torchvision",
    "densenet121": "torchvision",
    "googlenet": "torchvision",
    "mobilenet_v3_small": "torchvision; gates",
    "efficientnet_b0": "torchvision; gates",
    "regnet_y_400mf": "torchvision; gates",
    "shufflenet_v2_x0_5": "torchvision; channel shuffles",
    "convnext_tiny": "torchvision; norms over channels",
    "swin_t": "torchvision; attention in windows",
    "vit_b_16": "torchvision; attention",
}


OTHERS = (
    "Other feed-forward classification CNNs are accepted by their torchvision names; those of timm, where it "
    "is installed, by timm's (timm/NAME where both have one)."
)


def list_models(*, json: Json = False) -> None:
    """The tested networks; any other feed-forward classification CNN of torchvision, or of timm, is tried."""
    if json:
        print(json_format.dumps(TESTED, indent=2))
        return
    table = Table("model", "weights and names", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, text in TESTED.items():
        table.add_row(name, text)
    console = out()
    show(console, table)
    say(console, OTHERS)


def list_methods(name: Name = None, /, *, json: Json = False) -> None:
    """The registry of methods: parameters with defaults, properties, the theories that apply, sources.

    With a NAME one method in full: its equation, its parameters, what theory may assume of it.
    """
    if name is not None:
        _show_method(name, json)
        return
    from conetheory.rules.registry import methods

    found = [_described(method) for method in methods()]
    if json:
        print(json_format.dumps(found, indent=2))
        return
    console = out()
    show(console, _short_table(found) if console.is_terminal else _whole_table(found))
    say(
        console,
        "Also any lrp-alphaAbetaB with A - B = 1, such as lrp-alpha1.5beta0.5; lrp-zplus is lrp-alpha1beta0. "
        "Parameters are set with --set NAME=VALUE. `conetheory methods NAME` says all of one.",
    )


def _whole_table(found: Sequence[dict[str, Any]]) -> Table:
    """A line for each method, with all that is said of it in one."""
    headings = ("method", "family", *(f.replace("_", "-") for f in FLAGS), "theory", "parameters")
    table = Table(*headings, "what it propagates", "source")
    for entry in found:
        parameters = ", ".join(f"{k}={v}" for k, v in entry["parameters"].items())
        theory = ", ".join(entry["theories"]) or "none: " + entry["reason"]
        text = (entry["description"], entry["source"])
        table.add_row(entry["name"], entry["family"], *_marks(entry), theory, parameters or "-", *text)
    return table


def _short_table(found: Sequence[dict[str, Any]]) -> Table:
    """What fits a terminal."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("method", "linear", "non-\nnegative", "keeps\nthe sum"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it propagates", overflow="fold", min_width=16)
    for entry in found:
        table.add_row(entry["name"], *_marks(entry), entry["description"])
    return table


def _marks(entry: dict[str, Any]) -> list[str]:
    return ["yes" if entry[flag] else "no" for flag in FLAGS]


def _show_method(name: str, json: bool) -> None:
    """One method by field."""
    from conetheory.rules.names import refuse_unknown_method

    refuse_unknown_method(name)
    from conetheory.rules.registry import get_method

    found = _described(get_method(name))
    if json:
        print(json_format.dumps(found, indent=2, ensure_ascii=False))
        return
    grid = Table.grid(padding=(0, 2))
    for key, value in found.items():
        if value not in ("", [], {}):
            grid.add_row(LABELS.get(key, key.replace("_", "-")), _as_text(value))
    out().print(grid, soft_wrap=False)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={default}" for name, default in value.items())
    return "\n".join(value) if isinstance(value, list) else value


def _described(method: Method) -> dict[str, Any]:
    """A method as `conetheory methods --json` prints it."""
    from conetheory.predict.registry import applies, theories
    from conetheory.references import cited

    said = {theory: applies(theory, method) for theory in theories()}
    reasons = dict.fromkeys(found.reason for found in said.values() if found is not None)
    names = ("name", "family", "description", "equation", "source")
    flags = ("linear", "nonnegative", "sum_preserving", "fixed_pattern")
    return {
        **{k: getattr(method, k) for k in (*names, *flags)},
        "references": [str(found) for found in cited(method.source)],
        "backpropagated": method.backpropagated,
        "parameters": {k: v if isinstance(v, PLAIN) else str(v) for k, v in method.entry.parameters.items()},
        "theories": [theory for theory, found in said.items() if found is None],
        "reason": "; ".join(reasons),
    }


def show_theorems(id: Entry = None, /, *, json: Json = False, markdown: Markdown = False) -> None:
    """The theorems: what they say, where they are from, coded and tested; with an ID, the proof too."""
    from conetheory.references import proof_prose
    from conetheory.theory.theorems import THEOREMS, theorem

    entries = list(THEOREMS.values()) if id is None else [theorem(id)]
    if json:
        found = [_with_references(entry) for entry in entries]
        print(json_format.dumps(found if id is None else found[0], indent=2, ensure_ascii=False))
    elif markdown:
        print(theorem_markdown(entries))
    elif id is None:
        console = out()
        show(console, _theorem_table(entries, paths=not console.is_terminal))
    else:
        out().print(_full(entries[0]))
        print("\n" + proof_prose(entries[0].proof))


def _theorem_table(entries: Sequence[Theorem], paths: bool) -> Table:
    """A row for each theorem; `paths`: where its proof is, too."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("id", "title", "status", *(["proof"] if paths else []), "machine-\nchecked"):
        table.add_column(heading, no_wrap=heading in ("id", "proof"), overflow="fold")
    for entry in entries:
        proof = [entry.proof] if paths else []
        table.add_row(entry.id, entry.title, entry.status, *proof, "yes" if entry.machine_checked else "no")
    return table


def theorem_markdown(entries: Sequence[Theorem]) -> str:
    """Every theorem with its statement, its status and a link to its proof from the repository's root."""
    rows = ["| theorem | what it says | status |", "| --- | --- | --- |"]
    for entry in entries:
        title, statement = _escaped(entry.title), _escaped(entry.statement)
        checked = f", [machine-checked]({entry.machine_checked})" if entry.machine_checked else ""
        rows.append(f"| [{title}]({entry.proof}) (`{entry.id}`) | {statement} | {entry.status}{checked} |")
    return "\n".join(rows)


def _escaped(text: str) -> str:
    """Plain text for a cell of a Markdown table."""
    return text.replace("|", r"\|").replace("*", r"\*").replace("<", "&lt;")


def _full(entry: Theorem) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, value in _with_references(entry).items():
        grid.add_row(name.replace("_", "-"), value if isinstance(value, str) else "\n".join(value or ["no"]))
    return grid


def _with_references(entry: Theorem) -> dict[str, Any]:
    """An entry by field, and in full what it and its proof cite."""
    from conetheory.references import cited, proof_prose

    found = cited(f"{entry.source}; {proof_prose(entry.proof)}")
    return asdict(entry) | {"references": [str(reference) for reference in found]}
