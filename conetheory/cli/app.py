"""The commands and what an error looks like: one line on stderr and exit code 2."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from conetheory.cli.explain import run_explain
from conetheory.cli.listings import list_methods, list_models, show_theorems
from conetheory.cli.options import OPTIONS, Task
from conetheory.cli.report import run_report
from conetheory.cli.sanity import run_classes, run_sanity
from conetheory.cli.simulation import run_simulation
from conetheory.errors import ConeTheoryError

# typer has its own copy of click in some versions, so the class is found through one that typer exports
CLICK_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
BAD_INPUT, INTERRUPTED = 2, 130

app = typer.Typer(
    name="conetheory",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMON = ["weights", "images", "limit", "method", "start", "vectors", "seed", "device", "dtype"]
RULE = ["bias", "stabiliser", "empty_pool", "set", "repro"]
OUTPUT = ["out", "resume", "json"]
PREDICT, CERTIFY = ["theory", "predict_images"], ["certify_images"]

TASKS = (
    Task("compare", "Measure CSC, predict it, certify it, and lay the three over each other."),
    Task("csc", "Measure cosine similarity convergence (CSC).", predicts=False, certifies=False),
    Task("predict", "Predict the CSC deficit without measuring it.", measures=False, certifies=False),
    Task("certify", "Certify which cosine any two starts have at least.", measures=False, predicts=False),
)
DEMO = Task("demo", "The main job on the bundled network and photographs; downloads nothing.", folder="demo")


def _job_command(task: Task, run: str, names: Sequence[str], **defaults: Any) -> None:
    """Register a command with the options called `names`; `defaults` replace those of their table.

    run: `module:function`, imported when the command is called.
    """

    def command(**given: Any) -> None:
        module, _, function = run.partition(":")
        getattr(import_module(f"conetheory.cli.{module}"), function)(task, given)

    parameters = [_parameter(name, defaults) for name in names]
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__name__ = task.name
    app.command(task.name, help=task.help)(command)


def _parameter(name: str, defaults: dict[str, Any]) -> inspect.Parameter:
    annotation, usual = OPTIONS[name]
    default = defaults.get(name, usual)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_job_command(
    DEMO, "demo:run_demo", ["limit", "vectors", "seed", "device", "dtype", "positions", *OUTPUT], limit=4
)
for _task in TASKS:
    _job_command(
        _task,
        "compare:run_task",
        [
            "model",
            *COMMON,
            *(PREDICT if _task.predicts else []),
            *(CERTIFY if _task.certifies else []),
            *(["positions"] if _task.predicts or _task.certifies else []),
            *RULE,
            *OUTPUT,
        ],
    )
app.command("explain")(run_explain)
app.command("sanity")(run_sanity)
app.command("classes")(run_classes)
app.command("simulate")(run_simulation)
app.command("report")(run_report)
app.command("methods")(list_methods)
app.command("models")(list_models)
app.command("theorems")(show_theorems)


def _version(wanted: bool) -> None:
    if wanted:
        from conetheory.version import __version__

        typer.echo(f"conetheory {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """How fast, why, and with what guarantee modified-backprop attributions forget the network's decision."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code: 0, 2 after bad input, 130 after an interruption."""
    argv = sys.argv[1:] if arguments is None else list(arguments)
    _write_what_can_be_written()
    code = _guarded(lambda: app(args=argv, prog_name="conetheory", standalone_mode=False))
    if code == INTERRUPTED:
        _complain("interrupted; --resume takes up the methods that were done")
    return code


def _write_what_can_be_written() -> None:
    """Where a stream has no sign for a verdict's mark it gets a question mark, and no error."""
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
        if encoding != "utf8" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _guarded(run: Callable[[], Any]) -> int:
    try:
        code = run()
    except ConeTheoryError as error:
        return _complain(str(error))
    except CLICK_ERROR as error:
        return _complain(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:  # a full disk, a folder where a file should be, ...
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return _complain(
            "there is not enough memory for this: lower --vectors, --positions, --limit or --top"
        )
    return code if isinstance(code, int) else 0


def _out_of_memory(error: Exception) -> bool:
    """torch raises RuntimeError where it can't allocate, numpy MemoryError."""
    return isinstance(error, MemoryError) or "allocate" in str(error)


def _complain(message: str) -> int:
    typer.echo(f"conetheory: {' '.join(message.split())}", err=True)
    return BAD_INPUT
