"""Pages that the repository has already: the claims, the changelog, how to contribute, notation, sources."""

from __future__ import annotations

import re

from conetheory.references import references
from docs.made.markdown import plain, sections
from docs.made.results import ROOT

HELD = re.compile(r"^<!-- /?made.* -->\n", re.MULTILINE)  # marks around a made table that a file holds itself


def pages() -> dict[str, str]:
    return {
        "claims.md": HELD.sub("", _read("experiments/README.md")),
        "changelog.md": _read("CHANGELOG.md"),
        "contributing.md": _read("CONTRIBUTING.md"),
        "notation.md": unlinked(_read("proofs/README.md")),
        "bibliography.md": bibliography(),
    }


def bibliography() -> str:
    found = sorted(references().values(), key=lambda r: (r.key.lower(), r.year))
    entries = [
        f'- <span id="{r.key}"></span>**{r.key}** {plain(str(r))}{_links(r.doi, r.eprint)}' for r in found
    ]
    said = "What the code, the proofs and the registries cite, from `proofs/references.bib`."
    return sections("# Bibliography", said, "\n".join(entries))


def _links(doi: str, eprint: str) -> str:
    links = [f"[doi](https://doi.org/{doi})"] if doi else []
    links += [f"[arXiv](https://arxiv.org/abs/{eprint})"] if eprint else []
    return f" {', '.join(links)}" if links else ""


def unlinked(text: str) -> str:
    """Links to files that the site does not have, as plain code."""
    return re.sub(r"\[([^\]]+)\]\((?!https?:)([^)#]+\.(?:bib|v|py))\)", r"`\1`", text)


def _read(path: str) -> str:
    return (ROOT / path).read_text()
