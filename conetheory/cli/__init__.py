"""The command line. Torch is imported by the commands that need it, so that the others are quick."""

from conetheory.cli.app import app, main

__all__ = ["app", "main"]
