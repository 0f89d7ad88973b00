"""What is printed in a terminal of 80 and of 120 columns, and through a pipe, as text."""

from __future__ import annotations

import re

import pytest

from conetheory.cli import main
from conetheory.rules.registry import entries
from tests.cli import shown

NUMBER = re.compile(r"(?:1-)?[-+]?\d+(?:\.\d+)?(?:e-?\d+)?%?")


@pytest.fixture(scope="module")
def texts():
    return {name: shown.text(columns) for name, columns in shown.PLACES.items()}


def numbers(text: str) -> set[str]:
    return {word.strip("(),;:") for word in text.split() if NUMBER.fullmatch(word.strip("(),;:"))}


@pytest.mark.parametrize("name", list(shown.PLACES))
def test_it_is_what_was_looked_at(texts, name):
    """`python -m tests.cli.shown` writes the texts anew."""
    assert texts[name] == shown.kept(name).read_text("utf-8")


@pytest.mark.parametrize("name", ["80", "120"])
def test_a_terminal_gets_whole_lines_names_and_numbers(texts, name):
    assert max(map(len, texts[name].splitlines())) <= shown.PLACES[name]
    assert "…" not in texts[name]
    assert numbers(texts[name]) == numbers(texts["pipe"])
    for method in ("gradient", "lrp-alpha1beta0", "guided-backprop"):
        assert method in texts[name].split()


def test_a_row_is_a_line_in_a_pipe(texts):
    lines = texts["pipe"].splitlines()
    (verdict,) = [line for line in lines if line.split()[:1] == ["gradient"] and "●" in line]
    assert "depends on the decision" in verdict
    (row,) = [line for line in lines if "f.conv3.expand3x3" in line and "1.93e-4" in line]
    assert "0.9992" in row


def test_legends_explain_the_columns_that_are_there(texts):
    for text in texts.values():
        words = " ".join(text.split())
        assert "certified: lower bound" in words
        assert "class distance:" not in words
        assert "randomised:" not in words


@pytest.mark.parametrize("command", ["methods", "theorems", "models"])
@pytest.mark.parametrize("columns", [80, 120])
def test_listings_fit_a_terminal(command, columns):
    with shown.place(columns) as printed:
        assert main([command]) == 0
    text = shown.plain(printed)
    assert max(map(len, text.splitlines())) <= columns
    assert "…" not in text
    if command == "methods":
        assert set(entries()) <= {line.split()[0] for line in text.splitlines() if line.strip()}
