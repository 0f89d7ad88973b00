"""Every source resolves: authors and years in `references.bib`, facts, theorems and files in `proofs`."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from conetheory.references import Citation, citations, cited, plain, proof_prose, references
from conetheory.rules.registry import methods
from conetheory.theory.theorems import THEOREMS
from tests import numpydoc

ROOT = Path(__file__).parents[1]
PARTS = ("conetheory", "experiments", "proofs", "tests")
CITING = sorted(
    [p for part in PARTS for kind in ("py", "v", "md") for p in (ROOT / part).rglob(f"*.{kind}")]
    + list(ROOT.glob("*.md"))
)
TEXTS = [p for p in CITING if p != Path(__file__) and "results" not in p.relative_to(ROOT).parts]
SOURCED = {**{id: entry.source for id, entry in THEOREMS.items()}, **{m.name: m.source for m in methods()}}
FACTS = re.findall(r"^\*\*(F\d+)\. ", (ROOT / "proofs/README.md").read_text(), re.MULTILINE)
EXAMPLE = "proofs/test_half_chord.py"  # which readers of CONTRIBUTING.md write
OWN = re.compile(
    r"new here|[Tt]heorems?\s+`|[Tt]heorems?: [a-z]|facts?\s+F\d|[Aa]s\s+`|elementary|those theorems"
)


@cache
def text_of(path: Path) -> str:
    """A file's text, string literals that lie one after the other joined, without links' addresses."""
    joined = re.sub(r'"\s*\n\s*f?"', "", path.read_text())
    return re.sub(r"https?://\S+", "", joined)


def dangling(text: str) -> list[Citation]:
    known = references()
    return [c for c in citations(text) if c.key not in known or not c.fits(known[c.key])]


def everywhere(wrong: Callable[[str], object]) -> dict[str, object]:
    """What `wrong` finds in each text that it finds something in."""
    found = {str(path.relative_to(ROOT)): wrong(text_of(path)) for path in TEXTS}
    return {path: said for path, said in found.items() if said}


def absent(text: str) -> set[str]:
    """Facts, theorems and files of `proofs` that a text names and that aren't there."""
    text = re.sub(r"\s*\n\s*(?:# )?", " ", text)
    facts = " ".join(re.findall(r"\b[Ff]acts? (F\d+(?:(?:, | and )F\d+)*)", text))
    theorems = " ".join(re.findall(r"\b[Tt]heorems? ((?:`[\w-]+`(?:, | and )?)+)", text))
    ids = re.findall(r"`([\w-]+)`", theorems) + re.findall(r"(?<!> )\bTheorem: ([a-z][\w-]+)", text)
    ids += re.findall(r"[a-z][\w-]+", " ".join(re.findall(r"\bTheorems: ((?:[a-z][\w-]+(?:, )?)+)", text)))
    files = re.findall(r"\bproofs/[\w/]+\.(?:py|md|bib|v)\b", text)
    gone = {path for path in files if not (ROOT / path).is_file() and path != EXAMPLE}
    return {*re.findall(r"F\d+", facts)} - {*FACTS} | {*ids} - {*THEOREMS} | gone


def sourceless(text: str) -> list[str]:
    """Lines "Source: ..." and sections "References" that name no reference and nothing of our own."""
    ends = r"(.+?)(?:\n\s*\n|\"\"\"|\Z)"
    said = re.findall(rf"\bSources?:(?:\*\*)? {ends}", text, re.DOTALL)
    said += re.findall(rf"^ *References\n *-{{10}}\n{ends}", text, re.DOTALL | re.MULTILINE)
    return [line for line in said if not citations(line) and not OWN.search(line)]


WANTED = {
    dangling: "an author and a year that are cited have an entry of that key in proofs/references.bib",
    absent: "facts are numbered in proofs/README.md, theorems are in conetheory/theory/theorems.py",
    sourceless: "a source is authors and year, a theorem or a fact of ours, or `new here`, or `elementary`",
}


@pytest.mark.parametrize("wrong", [dangling, absent, sourceless], ids=lambda f: f.__name__)
def test_every_citation_resolves(wrong):
    assert everywhere(wrong) == {}, WANTED[wrong]


def test_no_file_that_does_not_ship_is_cited():
    assert everywhere(re.compile(r"\btheory\.md\b|\bDESIGN\b").findall) == {}


@pytest.mark.parametrize("name", SOURCED)
def test_theorems_and_methods_say_where_they_are_from(name):
    source = SOURCED[name]
    assert dangling(source) == [], WANTED[dangling]
    assert citations(source) or OWN.search(source), WANTED[sourceless]


def test_no_reference_is_unused():
    used = {c.key for path in TEXTS for c in citations(text_of(path))}
    assert set(references()) == used


def test_no_fact_is_unused():
    code = [text_of(p) for p in TEXTS if p.suffix == ".py"]
    used = {fact for text in code for fact in re.findall(r"\bF\d+\b", text)}
    assert len(FACTS) == len(set(FACTS))
    assert set(FACTS) <= used


def test_entries_are_whole():
    """Authors, a title, a year and a place, nothing lost in reading; keys are first author and year."""
    text = (ROOT / "proofs/references.bib").read_text()
    known = references()
    assert len(known) == len(re.findall(r"^@", text, re.MULTILINE))
    assert list(known) == sorted(known)
    for key, entry in known.items():
        assert key == plain(entry.names[0]) + entry.year
        assert entry.title
        assert entry.where or entry.eprint
        assert not entry.doi or re.fullmatch(r"10\.\d{4,5}/\S+", entry.doi)
        assert not entry.eprint or re.fullmatch(r"\d{4}\.\d{4,5}", entry.eprint)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Price 1958 and (Cho and Saul 2009, eq. (6))", ["Price1958", "Cho2009"]),
        ("Sixt, Granz and Landgraf (2020) with Adebayo et al.\n    2018", ["Sixt2020", "Adebayo2018"]),
        ("the bound of Benaych-Georges and Nadakuditi 2012", ["Benaych-Georges2012"]),
        ("Andéol et al.'s 2021; Hedström et al. 2023", ["Andeol2021", "Hedstrom2023"]),
        ("VGG-16 in 2015, ICML 2020, arXiv 1912.09818 and 2000 draws", []),
    ],
)
def test_citations_are_read(text, keys):
    assert [c.key for c in citations(text)] == keys
    assert [entry.key for entry in cited(text)] == keys
    assert dangling(text) == []


def test_the_software_is_cited_with_the_paper():
    said, paper = (ROOT / "CITATION.cff").read_text(), references()["Sixt2020"]
    assert all(f"family-names: {name}\n" in said for name in paper.names)
    assert f'title: "{paper.title}"' in said
    assert f"arXiv:{paper.eprint}" in said


def test_what_is_not_there_is_found():
    unknown, stranger = dangling("Riemann 1859 is too early, Riemann 1959 unknown; Cho and Price 2009")
    assert unknown.key == "Riemann1959"
    assert stranger.names == ("Cho", "Price")
    assert absent("fact F1, theorem `tau1`; facts F2 and F99; theorems `tau1` and `tau9`") == {"F99", "tau9"}
    assert absent("Theorem: riemann; proofs/test_riemann.py and proofs/README.md") == {
        "riemann",
        "proofs/test_riemann.py",
    }
    assert sourceless("Source: hearsay.\n\nSource: theorem `tau1`.\n\nSource: Price 1958.") == ["hearsay."]
    assert sourceless("References\n----------\nhearsay\n\nReferences\n----------\nPrice 1958") == ["hearsay"]


@pytest.mark.parametrize("entry", THEOREMS.values(), ids=THEOREMS)
def test_what_a_theorem_is_about_says_where_it_is_from(entry):
    found = [pkgutil.resolve_name(name) for name in entry.functions]
    docs = {thing.__name__: inspect.getdoc(thing) or "" for thing in found if not inspect.ismodule(thing)}
    assert docs
    assert [name for name, doc in docs.items() if "References" not in numpydoc.sections(doc)] == []


@pytest.mark.parametrize("entry", THEOREMS.values(), ids=THEOREMS)
def test_every_proof_can_be_shown(entry):
    prose = proof_prose(entry.proof)
    assert "Source" in prose
    assert len(prose.split()) > 100
