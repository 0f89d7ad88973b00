"""The formal proofs are where the registry says, and their checker refuses what is not proved."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conetheory.cli import main
from conetheory.theory.theorems import THEOREMS, Theorem

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "proofs" / "coq"
CHECK = FOLDER / "check.py"
SHARED = {"vectors", "hilbert"}
FORMAL = {entry.id: entry for entry in THEOREMS.values() if entry.machine_checked}
REQUIRED = {"metric-to-cosine", "generators", "birkhoff-hopf", "half-angle", "tau1"}
needs_coq = pytest.mark.skipif(shutil.which("coqc") is None, reason="Coq is missing: apt-get install coq")


@pytest.fixture(params=FORMAL.values(), ids=FORMAL.keys())
def entry(request: pytest.FixtureRequest) -> Theorem:
    return request.param


def test_the_required_theorems_are_machine_checked() -> None:
    assert set(FORMAL) >= REQUIRED


def test_each_file_states_the_theorem_of_its_entry(entry: Theorem) -> None:
    path, name = ROOT / entry.machine_checked, entry.id.replace("-", "_")
    assert path == FOLDER / f"{name}.v"
    text = path.read_text()
    assert re.search(rf"^Theorem {name}\b", text, re.MULTILINE)
    assert text.endswith(f"\nPrint Assumptions {name}.\n")
    assert f"[{entry.id}]" in text.split("*)")[0]
    assert entry.proof in text.split("*)")[0]


def test_the_command_says_which_are_machine_checked(
    entry: Theorem, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["theorems", entry.id]) == 0
    assert entry.machine_checked in capsys.readouterr().out
    assert main(["theorems", entry.id, "--markdown"]) == 0
    assert f"[machine-checked]({entry.machine_checked})" in capsys.readouterr().out
    assert main(["theorems", "scrambling", "--markdown"]) == 0
    assert "machine-checked" not in capsys.readouterr().out


def test_every_file_is_an_entrys_or_shared() -> None:
    """`<theorem>_<what>.v` belongs to its theorem."""
    entries = [Path(entry.machine_checked).stem for entry in FORMAL.values()]
    for path in FOLDER.glob("*.v"):
        assert path.stem in SHARED or any(f"{path.stem}_".startswith(f"{name}_") for name in entries)


def test_every_file_is_on_the_page_about_the_proofs() -> None:
    page = (ROOT / "proofs" / "README.md").read_text()
    for path in FOLDER.glob("*.v"):
        assert f"`{path.name}`" in page


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.v")), ids=lambda path: path.stem)
def test_nothing_is_assumed(path: Path) -> None:
    """A quick look that needs no Coq; `make proofs` asks Coq itself."""
    code = re.sub(r"\(\*.*?\*\)", "", path.read_text(), flags=re.DOTALL)
    assert not re.findall(r"\b(Axiom|Parameter|Hypothesis|Variable|Conjecture|Admitted|admit|Unset)\b", code)
    imported = re.findall(r"^From (\w+) Require", code, re.MULTILINE)
    assert set(imported) <= {"Coq", "ConeTheory"}


def checked(folder: Path, **files: str) -> subprocess.CompletedProcess[str]:
    """The checker on a folder of files with these texts."""
    for name, text in files.items():
        (folder / f"{name}.v").write_text("From Coq Require Import Reals.\n" + text)
    command = [sys.executable, str(CHECK), "--source", str(folder), "--build", str(folder / "build")]
    return subprocess.run(command, capture_output=True, text=True)


PROVED = "Theorem first : (0 < 1)%R.\nProof. exact Rlt_0_1. Qed.\n"


@needs_coq
@pytest.mark.slow
def test_the_checker_compiles_in_order_and_reports(tmp_path: Path) -> None:
    later = "From ConeTheory Require Import z.\nCorollary second : (0 < 1)%R.\nProof. exact first. Qed.\n"
    done = checked(tmp_path, a=later, z=PROVED)
    assert done.returncode == 0, done.stderr
    assert "2 theorems are proved" in done.stdout
    assert "ClassicalDedekindReals.sig_forall_dec" in done.stdout


@pytest.mark.exhaustive
@needs_coq
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Theorem first : (0 < 1)%R.\nAdmitted.\n", "a.v rests on a.first"),
        (
            "Axiom free : (1 < 0)%R.\nTheorem first : (1 < 0)%R.\nProof. exact free. Qed.\n",
            "a.v rests on a.free",
        ),
        ("Theorem first : (1 < 0)%R.\nProof. exact Rlt_0_1. Qed.\n", "a.v: "),
        ("Theorem first : (1 < 0)%R.\nProof.\n", "a.v: "),
        # a lemma under a theorem, and a fixed point that doesn't end
        ("Lemma gap : (1 < 0)%R.\nAdmitted.\nTheorem first : (1 < 0)%R.\nProof. exact gap. Qed.\n", "gap"),
        (
            "Unset Guard Checking.\nFixpoint loop (n : nat) : False := loop n.\nSet Guard Checking.\n"
            "Theorem first : False.\nProof. exact (loop 0). Qed.\n",
            "loop",
        ),
    ],
)
def test_the_checker_refuses_what_is_not_proved(tmp_path: Path, text: str, said: str) -> None:
    done = checked(tmp_path, a=text, b=PROVED)
    assert done.returncode == 1
    assert said in done.stderr


def test_the_checker_says_that_coq_is_missing(monkeypatch, capsys) -> None:
    main = runpy.run_path(str(CHECK))["main"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main([]) == 2
    assert "Coq is missing" in capsys.readouterr().err
