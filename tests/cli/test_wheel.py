"""The wheel, installed outside the checkout: theorems with their sources and proofs, one version."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_editable

import conetheory
from conetheory.references import proof_prose
from conetheory.theory.theorems import THEOREMS

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.exhaustive  # a build, an installation and two starts


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def site(wheel):
    pip("install", "--no-deps", "--target", wheel.parent / "site", wheel)
    return wheel.parent / "site"


def pip(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def installed(site, tmp_path, *arguments):
    """What the installed package prints, in a folder from which the checkout can't be seen."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_has_the_proofs_once(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    assert {f"conetheory/{entry.proof}" for entry in THEOREMS.values()} <= set(names)
    assert {
        f"conetheory/{entry.machine_checked}" for entry in THEOREMS.values() if entry.machine_checked
    } <= set(names)
    assert {"conetheory/proofs/references.bib", "conetheory/proofs/README.md"} <= set(names)
    assert not [name for name in names if name.endswith(".pyc") or "/." in name]
    assert {name.split("/")[0] for name in names} == {
        "conetheory",
        f"conetheory-{conetheory.__version__}.dist-info",
    }


def test_an_editable_installation_copies_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / build_editable(str(tmp_path))) as held:
        code = {name for name in held.namelist() if ".dist-info/" not in name}
        assert code == {"_conetheory.pth"}
        assert Path(held.read("_conetheory.pth").decode()) == ROOT


def test_a_new_user_gets_a_verdict_and_a_page(site, tmp_path):
    """A module of one's own, with a residual connection and batch norm, and nothing but the wheel."""
    user = (ROOT / "tests" / "new_user.py").read_text()
    shown = installed(
        site, tmp_path, "-c", f"import conetheory\nassert 'site' in conetheory.__file__\n{user}"
    )
    assert [line.split()[0] for line in shown.splitlines()] == ["lrp-alpha1beta0", "gradient"]
    assert "the decision" in shown
    assert "mine" in (tmp_path / "page.html").read_text()


def test_it_says_its_licence_and_version(wheel):
    folder = f"conetheory-{conetheory.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as held:
        metadata = held.read(f"{folder}/METADATA").decode()
        assert held.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "License-Expression: BSD-3-Clause" in metadata
    assert f"\nVersion: {conetheory.__version__}\n" in metadata
    assert conetheory.__version__ not in (ROOT / "pyproject.toml").read_text()


def test_a_theorem_outside_the_checkout(site, tmp_path):
    where = installed(site, tmp_path, "-c", "import conetheory; print(conetheory.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    said = installed(site, tmp_path, str(site / "bin" / "conetheory"), "theorems", "gaussian-law")
    assert "depends in law on the singular values of P only" in " ".join(said.split())
    assert "Statistical Analysis for the Angular Central Gaussian Distribution" in " ".join(said.split())
    assert proof_prose("proofs/test_gaussian_law.py") in said
