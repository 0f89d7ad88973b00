"""Units on other processes or machines: a dask cluster, or any executor of `concurrent.futures`.

Every unit is a task of its own that gives its bytes back, and whoever asked for them keeps them: so a worker
that dies loses the unit it was at, and a scheduler nothing that is needed again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, as_completed
from importlib import import_module
from typing import Any

import torch

from conetheory.errors import InputError, MissingDependencyError, one_line
from conetheory.runs.division import Unit
from conetheory.runs.units import Work

RETRIES = 3  # of a task whose worker died or whose machine failed
AHEAD = 256  # tasks of an executor that wait, whose results may be there before they are asked for


def active_client() -> Any | None:
    """The dask client that is in use here, as xarray finds it; None without one."""
    if "distributed" not in sys.modules:
        return None
    try:
        return import_module("distributed").get_client()
    except ValueError:
        return None


# Where glibc's own thresholds end for large tensors, and one heap for all threads
HEAP = {"MALLOC_TRIM_THRESHOLD_": 1 << 26, "MALLOC_MMAP_THRESHOLD_": 1 << 25, "MALLOC_ARENA_MAX": 1}
# dask looks 100 times a second at what its threads do, 50 at its event loop and 10 at memory
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.worker.memory.monitor-interval": "1s",
}


def cluster(workers: int | None = None, scheduler: str | None = None, file: str | None = None) -> Any:
    """A dask client: of a local cluster of so many processes, or of one that is there already.

    Parameters
    ----------
    workers
        processes to start here, one thread each; where there are GPUs each has one of them.
    scheduler, file
        the address of a running scheduler, or the file in which it wrote its address.

    Returns
    -------
    distributed.Client
        to be closed.

    Raises
    ------
    MissingDependencyError
        without `dask.distributed`.
    InputError
        where no scheduler answers.
    """
    try:
        dask = import_module("distributed")
    except ImportError as error:
        raise MissingDependencyError(
            "workers need dask.distributed: pip install 'conetheory[dask]'"
        ) from error
    try:
        if workers is None:
            return dask.Client(address=scheduler, scheduler_file=file, timeout="20s")
        options = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
        with _undisturbed():
            client = dask.Client(n_workers=workers, **options)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(f"no scheduler answers at {scheduler or file}: {one_line(error)}") from error
    if gpus := _gpus():
        client.register_plugin(_one_gpu_each(dask, gpus))
    return client


def _undisturbed() -> Any:
    """Workers that compute as any process does, of a cluster that is started while this is entered.

    With dask's own threshold of malloc, 64 kB, all that is freed is given back at once: every tensor was
    mapped afresh and cleared page by page, and two workers took twice the time that they take so. What it
    looks at all the time takes 7% of a processor in each worker, and 9% beside the scheduler.
    """
    config, key = import_module("dask.config"), "distributed.nanny.pre-spawn-environ"
    return config.set({key: config.get(key, {}) | HEAP, **QUIET})


def _gpus() -> list[str]:
    """Those that this process sees, as `CUDA_VISIBLE_DEVICES` has them."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    count = torch.cuda.device_count()
    return seen if len(seen) == count and all(seen) else [str(number) for number in range(count)]


def _one_gpu_each(dask: Any, gpus: Sequence[str]) -> Any:
    """A plugin by which each worker, a restarted one too, sees one GPU, whose tasks it has to itself."""

    class OneGpu(dask.WorkerPlugin):
        name = "conetheory-one-gpu"

        def setup(self, worker: Any) -> None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(worker.name) % len(gpus)]

    return OneGpu()


def computed_by(client: Any, work: Work, units: Sequence[Unit], shard: str) -> Iterator[tuple[Unit, bytes]]:
    """The bytes of units, as they are done.

    Parameters
    ----------
    client
        a `distributed.Client` or an `Executor`.
    work
        the study; it is sent to the workers.
    units
        which of its units.
    shard
        that they are of.

    Yields
    ------
    tuple
        a unit and its bytes.

    Raises
    ------
    InputError
        for anything else as a client, and where its processes keep dying.
    """
    if isinstance(client, Executor):
        yield from _by_executor(client, work, units, shard)
    elif type(client).__module__.partition(".")[0] == "distributed":
        yield from _by_dask(client, work, units, shard)
    else:
        raise InputError(
            f"a client is dask's or an executor of concurrent.futures, not {type(client).__name__}"
        )


def computed_there(work: Work, unit: Unit, shard: str) -> bytes:
    """A unit's bytes: what a worker runs."""
    return work.computed(unit, shard=shard)


def _by_executor(
    client: Executor, work: Work, units: Sequence[Unit], shard: str
) -> Iterator[tuple[Unit, bytes]]:
    waiting, todo = {}, iter(units)
    try:
        while True:
            while len(waiting) < AHEAD and (unit := next(todo, None)) is not None:
                waiting[client.submit(computed_there, work, unit, shard)] = unit
            if not waiting:
                return
            future = next(as_completed(waiting))
            yield waiting.pop(future), future.result()
    except BrokenExecutor as error:
        raise InputError(
            "a worker died, and its executor with it: what is done is kept, run again"
        ) from error
    finally:
        for future in waiting:
            future.cancel()


def _by_dask(client: Any, work: Work, units: Sequence[Unit], shard: str) -> Iterator[tuple[Unit, bytes]]:
    """What is sent is kept by the scheduler, and given to a worker once, however many units it computes."""
    dask = import_module("distributed")
    held = client.submit(_given, work, pure=False)
    options = {"pure": False, "retries": RETRIES}
    futures = {client.submit(computed_there, held, unit, shard, **options): unit for unit in units}
    try:
        for future in dask.as_completed(list(futures)):
            unit = futures.pop(future)
            yield unit, future.result()
            future.release()
    except dask.KilledWorker as error:
        raise InputError(f"workers died at a unit, again and again: {one_line(error)}") from error
    except (CancelledError, OSError) as error:
        raise InputError("the scheduler is gone: what is done is kept, run again when it is there") from error
    finally:
        for future in futures:
            if client.status == "running":
                future.cancel()


def _given(work: Work) -> Work:
    return work
