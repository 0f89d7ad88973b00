"""A page for each theorem with its proof, and the table of all."""

from __future__ import annotations

from conetheory.references import cited, proof_prose
from conetheory.theory.theorems import THEOREMS, Theorem
from docs.made.markdown import plain, prose, sections, table

HEADINGS = ("theorem", "what it says", "status")


def rows() -> list[tuple[str, str, str]]:
    """The table's rows, with links to the pages beside it."""
    return [
        (f"[{plain(entry.title)}]({entry.id}.md) (`{entry.id}`)", plain(entry.statement), _status(entry))
        for entry in THEOREMS.values()
    ]


def summary() -> str:
    """The table of all, which the index shows."""
    return table(HEADINGS, rows())


def pages() -> dict[str, str]:
    return {f"theorems/{entry.id}.md": page(entry) for entry in THEOREMS.values()}


def page(entry: Theorem) -> str:
    prose_of = proof_prose(entry.proof)
    functions = [f"- [`{name}`](../api/theory.md#{name})" for name in entry.functions]
    sources = [f"- {plain(str(found))}" for found in cited(f"{entry.source}; {prose_of}")]
    return sections(
        f"# {plain(entry.title)}",
        f"`{entry.id}`: {_status(entry)}.",
        f"**Statement.** {plain(entry.statement)}",
        f"**Hypotheses.** {plain(entry.hypotheses)}",
        f"**Source.** {plain(entry.source)}",
        "## Proof",
        prose(prose_of),
        "[Notation and the facts F1, F2, ...](../notation.md)",
        "## Where it lives",
        "\n".join(functions),
        f"- proof and its checks: `{entry.proof}`\n- test of the functions: `{entry.test}`"
        + (f"\n- formal proof: `{entry.machine_checked}`" if entry.machine_checked else ""),
        "## References" if sources else "",
        "\n".join(sources),
    )


def _status(entry: Theorem) -> str:
    return entry.status + (", machine-checked" if entry.machine_checked else "")
