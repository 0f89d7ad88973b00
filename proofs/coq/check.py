"""Compile the formal proofs and print what the theorems in them rest on.

`python3 proofs/coq/check.py` needs Coq (Debian's package `coq`) and nothing else; `make proofs` installs it
first where it can. It ends with an error where a file doesn't compile and where a theorem rests on anything
but the axioms below, as an `Admitted` would make it. `--kernel` has Coq's independent checker, `coqchk`, read
the compiled files again (some minutes).
"""

from __future__ import annotations

import argparse
import graphlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "coq"
LIBRARY = "ConeTheory"
# The axioms by which Coq's standard library makes its real numbers classical, and what they say.
CLASSICAL = {
    "ClassicalDedekindReals.sig_forall_dec": "a decidable predicate of naturals always holds, or fails once",
    "ClassicalDedekindReals.sig_not_dec": "not not P, or not P",
    "FunctionalExtensionality.functional_extensionality_dep": "functions of equal values are equal",
    "Classical_Prop.classic": "P, or not P",
}
CLOSED = "Closed under the global context"
THEOREM = re.compile(r"^(?:Theorem|Corollary) +(\w+)", re.MULTILINE)
IMPORTS = re.compile(rf"^From {LIBRARY} Require Import ([\w ]+)\.", re.MULTILINE)


class ProofError(Exception):
    """A file doesn't compile, or a theorem rests on more than it may."""


def in_order(sources: dict[str, str]) -> list[str]:
    """The names of the files, each after those that it imports."""
    needs = {name: set(" ".join(IMPORTS.findall(text)).split()) for name, text in sources.items()}
    return list(graphlib.TopologicalSorter(needs).static_order())


def coqc(build: Path, name: str) -> str:
    """What Coq prints while it compiles one file; raises ProofError with its message where it doesn't."""
    command = ["coqc", "-q", "-R", ".", LIBRARY, f"{name}.v"]
    done = subprocess.run(command, cwd=build, capture_output=True, text=True)
    if done.returncode:
        raise ProofError(f"{name}.v: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def axioms(printed: str) -> list[set[str]]:
    """The names that each `Print Assumptions` of an output lists: those at the start of a line."""
    found: list[set[str]] = []
    for line in printed.splitlines():
        if line in ("Axioms:", CLOSED):
            found.append(set())
        elif line and not line[0].isspace():
            if not found:
                raise ProofError(f"Coq printed what is not an assumption: {line}")
            found[-1].add(line.split(" :")[0].strip())
    return found


def assumptions(build: Path, theorems: dict[str, list[str]]) -> dict[str, set[str]]:
    """The axioms under all theorems of each file, asked for in one more file, so that none is left out."""
    lines = [f"From {LIBRARY} Require {' '.join(theorems)}."]
    for name, stated in theorems.items():
        pairs = ", ".join(f"@{LIBRARY}.{name}.{theorem}" for theorem in stated)
        lines += [f"Definition all_of_{name} := ({pairs}).", f"Print Assumptions all_of_{name}."]
    (build / "assumptions.v").write_text("\n".join(lines) + "\n")
    found = axioms(coqc(build, "assumptions"))
    if len(found) != len(theorems):
        raise ProofError(f"{len(theorems)} files of theorems, but {len(found)} lists of assumptions")
    return dict(zip(theorems, found, strict=True))


def check(source: Path, build: Path) -> dict[str, tuple[list[str], set[str]]]:
    """Compile the files of `source` in `build`: the theorems of each and the axioms under them.

    Raises ProofError for a file that doesn't compile, and for an axiom that isn't one of the classical reals.
    """
    sources = {path.stem: path.read_text() for path in sorted(source.glob("*.v"))}
    build.mkdir(parents=True, exist_ok=True)
    for name in in_order(sources):
        (build / f"{name}.v").write_text(sources[name])
        coqc(build, name)
    theorems = {name: stated for name, text in sources.items() if (stated := THEOREM.findall(text))}
    found = assumptions(build, theorems)
    for name, names in found.items():
        if extra := sorted(names - set(CLASSICAL)):
            raise ProofError(f"{name}.v rests on {', '.join(extra)}")
    return {name: (theorems[name], found[name]) for name in theorems}


def report(found: dict[str, tuple[list[str], set[str]]]) -> str:
    """The theorems of each file with the numbers of the axioms that they rest on, and the axioms."""
    lines = [f"{sum(len(stated) for stated, _ in found.values())} theorems are proved."]
    for name, (stated, names) in found.items():
        used = ", ".join(str(i) for i, axiom in enumerate(CLASSICAL, 1) if axiom in names) or "none"
        lines += [f"{name}.v (axioms: {used})", *(f"    {theorem}" for theorem in stated)]
    lines.append("The axioms are those of the classical real numbers of Coq's standard library:")
    lines += [f"    {i}  {axiom}: {text}" for i, (axiom, text) in enumerate(CLASSICAL.items(), 1)]
    return "\n".join(lines)


def recheck(build: Path, files: list[str]) -> int:
    """Coq's independent checker on the compiled files and on what they import from the standard library."""
    modules = [f"{LIBRARY}.{name}" for name in files]
    return subprocess.run(["coqchk", "-silent", "-o", "-R", ".", LIBRARY, *modules], cwd=build).returncode


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=HERE, help="folder of the .v files")
    parser.add_argument("--build", type=Path, default=BUILD, help="folder of the compiled files")
    parser.add_argument("--kernel", action="store_true", help="check the compiled files again with coqchk")
    options = parser.parse_args(arguments)
    if shutil.which("coqc") is None:
        print("Coq is missing: install Debian's package coq, or run `make proofs` as root", file=sys.stderr)
        return 2
    try:
        found = check(options.source, options.build)
    except ProofError as error:
        print(error, file=sys.stderr)
        return 1
    print(report(found))
    return recheck(options.build, list(found)) if options.kernel else 0


if __name__ == "__main__":
    sys.exit(main())
