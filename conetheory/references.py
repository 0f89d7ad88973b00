"""What a citation refers to: the entries of `proofs/references.bib`, by author and year, and proofs in prose.

"Cho and Saul 2009, eq. (6)" cites the entry `Cho2009`: the first author's name without accents, and the year.
The folder `proofs` of the repository is part of the wheel, so that an installed package can show them too.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

NAME = r"[A-ZÀ-Þ][\w-]*[a-zß-ÿ]"
CITATION = re.compile(
    rf"\b(?P<names>{NAME}(?:, {NAME})*(?: and {NAME}| et al\.)?)(?:'s)?,? "
    r"(?:\((?=\d{4}\)))?(?P<year>(?:19|20)\d\d)\b"
)
ENTRY = re.compile(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  (\w+) = \{(.*)\},$", re.MULTILINE)


@dataclass(frozen=True)
class Reference:
    """One source.

    Attributes
    ----------
    key
        first author and year.
    authors
        `Family, Given and Family, Given`.
    title, year
        as in the entry.
    where
        the journal, the proceedings or the publisher.
    doi, eprint
        empty where there is none.
    """

    key: str
    authors: str
    title: str
    year: str
    where: str = ""
    doi: str = ""
    eprint: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(author.partition(",")[0] for author in self.authors.split(" and "))

    def __str__(self) -> str:
        *most, last = self.authors.split(" and ")
        who = f"{'; '.join(most)} and {last}" if most else last
        links = [f"doi:{self.doi}"] if self.doi else []
        links += [f"arXiv:{self.eprint}"] if self.eprint else []
        return ". ".join([f"{who} ({self.year})", self.title, *filter(None, [self.where]), *links]) + "."


@dataclass(frozen=True)
class Citation:
    """What a text cites; `key` is that of the entry it should have.

    Attributes
    ----------
    names
        the authors that the text names.
    year
        four digits.
    """

    names: tuple[str, ...]
    year: str

    @property
    def key(self) -> str:
        return plain(self.names[0]) + self.year

    def fits(self, reference: Reference) -> bool:
        """Is it of this key, and is everyone it names an author?"""
        return self.key == reference.key and set(map(plain, self.names)) <= set(map(plain, reference.names))


def plain(name: str) -> str:
    """A name in ASCII, as keys have it: ö is o, ń is n."""
    letters = unicodedata.normalize("NFKD", name.replace("ł", "l"))
    return letters.encode("ascii", "ignore").decode()


def citations(text: str) -> list[Citation]:
    """Those in a text: "Price 1958", "Cho and Saul (2009)", "Gu, Yang and Tresp 2018", "Bach et al. 2015"."""
    joined = re.sub(r"\s*\n\s*(?:#:? ?)?", " ", text)
    found = CITATION.finditer(joined)
    return [
        Citation(tuple(re.split(r", | and ", m["names"].removesuffix(" et al."))), m["year"]) for m in found
    ]


def cited(text: str) -> list[Reference]:
    """The references that a text cites, in its order, each once; what cites none of them is passed over."""
    found = (references().get(citation.key) for citation in citations(text))
    return list(dict.fromkeys(reference for reference in found if reference is not None))


@cache
def references() -> dict[str, Reference]:
    """All entries of `references.bib` by key."""
    entries = {}
    for _, key, body in ENTRY.findall(_file("proofs/references.bib").read_text(encoding="utf-8")):
        fields = dict(FIELD.findall(body))
        where = fields.get("journal") or fields.get("booktitle") or fields.get("publisher", "")
        known = {k: fields[k] for k in ("title", "year", "doi", "eprint") if k in fields}
        entries[key] = Reference(key, authors=fields["author"], where=where, **known)
    return entries


def proof_prose(path: str) -> str:
    """The statement, source and proof on paper at the head of `proofs/test_....py`, without its checks."""
    text = _file(path).read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(text)) or ""


def _file(path: str) -> Path:
    """A file of the repository's folder `proofs`: inside an installed package, beside one in a checkout."""
    package = Path(str(files("conetheory")))
    return next((p for p in (package / path, package.parent / path) if p.is_file()), package / path)
