"""The code in README and site runs, and prints what it is said to print; commands are commands."""

from __future__ import annotations

import io
import re
import shlex
from contextlib import redirect_stdout

import matplotlib
import pytest
import torch

from conetheory.cli.app import COMMANDS, app
from conetheory.predict import registry as theories
from conetheory.rules import registry as rules
from docs.made import notebook
from tests.docs.pages import blocks, made, written

NUMBER = re.compile(r"[-+]?\d[\d.]*(?:e[-+]?\d+)?")
ELSEWHERE = ("contributing.md", "tutorials/ten-minutes.md")  # made, and held by tests of their own
PAGES = [p for p, text in written().items() if blocks(text, "python")]
QUICK = ("tutorials/new-rule.md", "tutorials/other-libraries.md")


@pytest.fixture(autouse=True)
def restored(tmp_path, monkeypatch):
    """In a folder of its own; what a page registers is taken back."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    held, known = dict(rules.entries()), set(theories.theories())
    with torch.random.fork_rng():
        yield
    rules._ENTRIES.clear()
    rules._ENTRIES.update(held)
    for name in set(theories.theories()) - known:
        theories.unregister(name)


def masked(text: str) -> str:
    """Words in their order, with a mark for each number: draws differ from machine to machine."""
    return " ".join(NUMBER.sub("#", text).split())


@pytest.mark.parametrize(
    "path", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in PAGES]
)
def test_a_page_runs_from_top_to_bottom(path):
    space, printed = {"__name__": "page"}, ""
    for language, code in blocks(written()[path], "python", "text"):
        if language == "text" and space.get("ct"):
            assert masked(printed) == masked(code)
        elif language == "python":
            with redirect_stdout(io.StringIO()) as out:
                exec(compile(code, path, "exec"), space)
            printed = out.getvalue()


@pytest.mark.slow
def test_the_notebook_runs_and_prints_what_it_shows():
    space: dict[str, object] = {"__name__": "notebook"}
    for cell in notebook.cells():
        if cell["cell_type"] == "code":
            with redirect_stdout(io.StringIO()) as out:
                exec(compile(notebook.source(cell), "notebook", "exec"), space)
            shown = "".join(notebook._text(output) for output in cell["outputs"])
            assert masked(out.getvalue()) == masked(shown)


def test_no_made_page_has_code_but_those_with_tests_of_their_own():
    assert {p for p, text in made().items() if blocks(text, "python")} == set(ELSEWHERE)


def command_lines(text: str) -> list[str]:
    return [
        line
        for _, code in blocks(text, "bash", "text")
        for line in code.replace("\\\n", " ").splitlines()
        if line.startswith("conetheory ") and "[OPTIONS]" not in line
    ]


def check_command(line: str) -> None:
    """It is parsed as it would be, and not run."""
    words = shlex.split(line, comments=True)[1:]
    assert words[0] in COMMANDS, line
    app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("path", "line"), [(path, line) for path, text in written().items() for line in command_lines(text)]
)
def test_a_command_line_is_one(path, line):
    check_command(line)


def test_command_lines_of_made_pages_are_some():
    lines = [line for text in made().values() for line in command_lines(text)]
    assert lines
    for line in lines:
        check_command(line)
