"""The site is complete: what is registered has its page, tables are filled, links lead somewhere."""

from __future__ import annotations

import posixpath
import re

import pytest

from conetheory.cli.app import COMMANDS
from conetheory.predict.registry import theories
from conetheory.references import proof_prose, references
from conetheory.rules.registry import get_method, methods
from conetheory.theory.theorems import THEOREMS
from docs.made import api, commands, scores, site
from docs.made.markdown import plain, prose
from docs.made.methods import equation
from docs.made.results import RESULTS, named, read
from tests.docs.pages import ROOT, everything, made, written

LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("name", [m.name for m in methods()])
def test_a_method_has_its_equation_parameters_properties_and_source(name):
    page, method = made()[f"methods/{name}.md"], get_method(name)
    assert method.equation, "say it where the method is registered: equation="
    assert equation(method) in page
    assert plain(method.source) in page
    assert all(f"`{parameter}`" in page for parameter in method.entry.parameters)
    assert f"| nonnegative | {'yes' if method.nonnegative else 'no'} |" in page
    assert f"| columns sum to one | {'yes' if method.sum_preserving else 'no'} |" in page
    assert f"[{name}]({name}.md)" in made()["methods/index.md"]


@pytest.mark.parametrize("entry", THEOREMS.values(), ids=list(THEOREMS))
def test_a_theorem_has_its_statement_proof_functions_and_tests(entry):
    page = made()[f"theorems/{entry.id}.md"]
    assert plain(entry.statement) in page
    assert prose(proof_prose(entry.proof)) in page.split("## Proof")[1]
    for path in (entry.proof, entry.test, *filter(None, [entry.machine_checked]), *entry.functions):
        assert path in page
    assert f"]({entry.id}.md)" in site.filled(written()["theorems/index.md"])


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_command_has_all_its_options(name):
    page = made()[f"commands/{name}.md"]
    options = commands.options(name)
    assert options
    assert all(f"| `{option}" in page for option in options)
    assert f"]({name}.md)" in made()["commands/index.md"]


def test_every_theory_and_every_source_is_there():
    assert all(f"\n## {name}\n" in made()["theories.md"] for name in theories())
    assert all(f'id="{key}"' in made()["bibliography.md"] for key in references())


def test_every_figure_has_a_card_with_its_command():
    cards = made()["gallery.md"].split("\n## ")[1:]
    for name in named("*.png"):
        (card,) = [text for text in cards if f"results/{name}" in text]
        assert "```bash\n" in card


def test_every_score_is_in_the_table():
    known = scores.scores()
    count = sum(len(read(name)) - 1 for name in named("score-*.json"))
    assert len(known) == count
    assert scores.errors().count("\n") == count + 1  # a heading and its rule
    one = read("score-squeezenet1_1-logits-z.json")["lrp-alpha1beta0"]
    shown = f"{one['second_moment_median_abs_error_decades']:.3f}"
    assert f"| {shown} / " in scores.errors()


def test_a_new_file_of_scores_is_a_new_row(tmp_path, monkeypatch):
    """Of any theory, with no table to mend: what the file says is in the page."""
    one = {
        "by_layer": {"input": {}},
        "walk_median_abs_error_decades": 0.1234,
        "walk_p90_abs_error_decades": 0.5,
    }
    made_by = read("score-vgg16hed-conv5_3-z.json")["provenance"]
    monkeypatch.setattr(scores, "named", lambda pattern: ["score-vgg16hed-new.json"])
    monkeypatch.setattr(scores, "read", lambda name: {"provenance": made_by, "lrp-gamma": one})
    assert "| VGG-16 trunk (HED) | conv5\\_3 | gamma |" in scores.errors()
    assert "| 0.123 / 0.500 |" in scores.errors()


def test_every_public_room_is_in_the_reference():
    folders = {path.parent.name for path in (ROOT / "conetheory").glob("*/__init__.py")}
    assert folders - set(api.HIDDEN) <= {
        path.split("/")[-1][:-3] for path in made() if path.startswith("api/")
    }
    assert api.exported(ROOT / "conetheory" / "certify" / "__init__.py")


def test_a_table_that_there_is_not_is_an_error():
    with pytest.raises(KeyError):
        site.filled("<!-- made: nothing -->")
    assert not [p for p, text in everything().items() if p != "README.md" and site.MARK.search(text)]


def check_links(path: str) -> None:
    for target in LINK.findall(everything()[path]):
        if target.startswith(("https://", "#")):
            continue
        assert "://" not in target
        to = posixpath.normpath(posixpath.join(posixpath.dirname(path), target.partition("#")[0]))
        there = (
            to in everything()
            or to in site.files()
            or (ROOT / "docs" / to).is_file()
            or (path == "README.md" and (ROOT / to).exists())
        )
        assert there, f"{path}: {target}"


@pytest.mark.parametrize("path", written())
def test_links_lead_somewhere(path):
    check_links(path)


def test_links_of_made_pages_lead_somewhere():
    for path in made().keys() - {"claims.md", "contributing.md"}:
        check_links(path)


def test_the_site_has_what_results_there_are():
    assert set(site.files()) == {
        f"results/{p.name}" for p in RESULTS.iterdir() if p.suffix in (".png", ".json")
    }
