"""`conetheory merge`: the units that shards have left in a folder, as the one study that they are of."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from conetheory.cli.job import CERTIFY, COMPARE, CSC, PREDICT
from conetheory.cli.options import FAIL_IF, Json, Outcome

Folder = Annotated[Path, Parameter(name="DIR", help="The folder that the shards were given with --out.")]
FailIf = Annotated[tuple[Outcome, ...], Parameter(metavar="VERDICT", help=FAIL_IF)]


def run_merge(folder: Folder, /, *, fail_if: FailIf = (), json: Json = False) -> int:
    """Join the shards of a command (--shard) in DIR into its result, the same as one process gives."""
    from conetheory.cli.compare import failed, present
    from conetheory.cli.explain import present_maps
    from conetheory.cli.sanity import present_classes, present_sanity
    from conetheory.results.comparison import Comparison
    from conetheory.runs import store
    from conetheory.runs.kinds import KINDS
    from conetheory.runs.merging import merge

    found = merge(folder)
    command = json_format.loads(found.dataset.attrs["settings"])["command"]
    if command in KINDS:
        found.save(folder / f"{command}.nc")
        shown = {"maps": present_maps, "classes": present_classes, "sanity": present_sanity}
        shown[command](KINDS[command].result(found.dataset), folder, json)
        return 0
    comparison = Comparison(found.dataset)
    (task,) = (one for one in (COMPARE, CSC, PREDICT, CERTIFY) if one.name == command)
    present(task, comparison, store.write_all(comparison, folder), json)
    return failed(comparison, fail_if)
