"""Studies in parts at the command line: who computes the units, and one shard of them or all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from conetheory.cli.options import Division
from conetheory.errors import InputError
from conetheory.results.dataset import Result
from conetheory.runs.clients import cluster
from conetheory.runs.division import Parts, Shard
from conetheory.runs.progress import note


def parts_of(asked: Division) -> Parts | None:
    """How a study is divided; None where nothing asks for parts."""
    elsewhere = asked.workers, asked.scheduler, asked.scheduler_file
    given = asked.shard, asked.block, asked.threads_per_unit, *elsewhere
    return None if not any(given) else Parts(asked.block, asked.threads_per_unit)


def run_divided(study: Any, asked: Division) -> Result | None:
    """What a study (`runs.divided`) finds; None where it was one shard, whose units wait for the others."""
    with client_of(asked) as client:
        if asked.shard is None:
            return study.run(client, log_json=asked.log_json)
        study.run_shard(Shard.parsed(asked.shard), client, log_json=asked.log_json)
    note(f"when all shards are done: conetheory merge {study.folder}")
    return None


@contextmanager
def client_of(asked: Division) -> Iterator[Any]:
    """The dask cluster that was asked for, its dashboard told; None without one."""
    where = asked.workers, asked.scheduler, asked.scheduler_file
    if len([one for one in where if one is not None]) > 1:
        raise InputError("give one of --workers, --scheduler and --scheduler-file")
    if where == (None, None, None):
        yield None
        return
    file = None if asked.scheduler_file is None else str(asked.scheduler_file)
    with cluster(asked.workers, asked.scheduler, file) as client:
        note(f"dashboard: {client.dashboard_link}")
        yield client
