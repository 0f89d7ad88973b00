"""The commands and what an error looks like: one line on stderr and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Any

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from conetheory.cli.explain import run_explain
from conetheory.cli.listings import list_methods, list_models, show_theorems
from conetheory.cli.merge import run_merge
from conetheory.cli.rates import run_rates
from conetheory.cli.report import run_report
from conetheory.cli.sanity import run_classes, run_sanity
from conetheory.cli.simulation import run_simulation
from conetheory.cli.tasks import certify, compare, csc, demo, predict
from conetheory.cli.values import shown_default
from conetheory.errors import ConeTheoryError
from conetheory.room import is_out_of_memory
from conetheory.version import __version__

BAD_INPUT, INTERRUPTED = 2, 130
HELP = "How fast, why, and with what guarantee modified-backprop attributions forget the network's decision."

# A command is a function, found here by its name. Its docstring is its help, its parameters are its options
# (groups of them are in `options`); what is slow to import (torch) it imports when it is called.
COMMANDS: dict[str, Callable[..., int | None]] = {
    "demo": demo,
    "compare": compare,
    "csc": csc,
    "predict": predict,
    "certify": certify,
    "rates": run_rates,
    "explain": run_explain,
    "sanity": run_sanity,
    "classes": run_classes,
    "simulate": run_simulation,
    "merge": run_merge,
    "report": run_report,
    "methods": list_methods,
    "models": list_models,
    "theorems": show_theorems,
}

app = App(
    name="conetheory",
    help=HELP,
    help_flags=["-h", "--help"],
    help_format="plaintext",
    version=f"conetheory {__version__}",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=(), allow_repeating=True, show_default=shown_default),
)
for _order, (_name, _command) in enumerate(COMMANDS.items()):
    app.command(_command, name=_name, sort_key=_order)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code: 0, 1 by --fail-if, 2 after bad input, 130 when interrupted."""
    argv = sys.argv[1:] if arguments is None else list(arguments)
    _write_what_can_be_written()
    code = _guarded(lambda: app(argv, result_action="return_value", exit_on_error=False, print_error=False))
    if code == INTERRUPTED:
        _complain("interrupted; --resume takes up the methods that were done")
    return code


def _write_what_can_be_written() -> None:
    """Where a stream has no sign for a verdict's mark it gets a question mark, and no error."""
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
        if encoding != "utf8" and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _guarded(run: Callable[[], Any]) -> int:
    try:
        code = run()
    except ConeTheoryError as error:
        return _complain(str(error))
    except CycloptsError as error:
        return _complain(_said(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # a full disk, a folder where a file should be, ...
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _complain(
            "there is not enough memory for this: lower --vectors, --positions, --limit or --top"
        )
    return code if isinstance(code, int) else 0


def _said(error: CycloptsError) -> str:
    """What was wrong with the arguments."""
    if isinstance(error, UnusedCliTokensError):
        return f"unexpected argument {(error.unused_tokens or ['?'])[0]!r}"
    return str(error.__cause__ if isinstance(error.__cause__, ConeTheoryError) else error)


def _complain(message: str) -> int:
    print(f"conetheory: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT
