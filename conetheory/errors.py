"""The exceptions that conetheory raises. Each message is one line: what was wrong, and what to do."""

from __future__ import annotations


class ConeTheoryError(Exception):
    """Base of all errors that a user can cause and mend; the command line prints it and exits with 2."""


class InputError(ConeTheoryError, ValueError):
    """An argument, an image, a weights file or a matrix that can't be used as it is."""


class UnsupportedLayerError(ConeTheoryError):
    """A network holds an operation that has no relevance rule; names the layer and the operation."""


class MissingDependencyError(ConeTheoryError):
    """An optional package is needed; names it and how to install it."""


def one_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
