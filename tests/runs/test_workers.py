"""Units that others compute: executors, and dask clusters whose workers and schedulers die."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from conetheory import networks
from conetheory.errors import InputError
from conetheory.networks.streamed import StreamedImages, stream_images
from conetheory.runs.clients import active_client
from conetheory.runs.division import Parts
from conetheory.runs.merging import merge
from conetheory.runs.source import Source
from conetheory.runs.study import Study
from conetheory.runs.units import UnitFolder, threads
from tests.runs.parts import MEASURED, QUICK, same, toy_study

ROOT = Path(__file__).parents[2]


def in_one(study):
    with threads(1):
        return study.run().dataset


def test_an_executor_computes_units(tmp_path, capsys):
    study = toy_study(MEASURED, images=4)
    parts = replace(study, parts=Parts(3), out=tmp_path)
    with ThreadPoolExecutor(2) as pool:
        same(parts.run(pool, log_json=True).dataset, in_one(study))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert len(lines) == len(UnitFolder(tmp_path)) == 4
    with pytest.raises(InputError, match=r"a client is dask's or an executor .* not object"):
        replace(study, parts=Parts()).run(object())
    assert active_client() is None


class Dying(ThreadPoolExecutor):
    """An executor whose processes die after some tasks."""

    def submit(self, function, *args, **options) -> Future:
        self.tasks = getattr(self, "tasks", 0) + 1
        if self.tasks <= 2:
            return super().submit(function, *args, **options)
        found: Future = Future()
        from concurrent.futures import BrokenExecutor

        found.set_exception(BrokenExecutor("killed"))
        return found


def test_what_was_done_before_an_executor_broke_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("conetheory.runs.clients.AHEAD", 1)
    parts = replace(toy_study(MEASURED, images=4), parts=Parts(2), out=tmp_path)
    with Dying(1) as pool, pytest.raises(InputError, match="a worker died"):
        parts.run(pool)
    assert len(UnitFolder(tmp_path)) == 2


def test_a_network_travels_as_its_source(tmp_path):
    """Weights and pictures stay where they are; others under the same name are refused."""
    for number in range(65):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number:02}.png")
    network = networks.load("cifar10_cnn")
    images = stream_images(tmp_path, network)
    assert isinstance(images, StreamedImages)
    source = Source.of(network, "cifar10_cnn", None)
    work = Study(network, images, {"gradient": {}}, settings=MEASURED, source=source).work
    sent = pickle.dumps(work)
    assert len(sent) < 50_000
    there, again = pickle.loads(sent), pickle.loads(sent)
    assert there.network.graph is again.network.graph
    assert there.study == work.study
    assert there.key(work.units[1]) == work.key(work.units[1])
    with pytest.raises(InputError, match="has other weights on this worker"):
        pickle.loads(pickle.dumps(replace(work, source=replace(source, sha256="0" * 64))))
    toy = toy_study(MEASURED).work
    assert torch.equal(pickle.loads(pickle.dumps(toy)).images.tensor, toy.images.tensor)


# ------------------------------------------------------------ clusters of dask


@contextmanager
def process(*arguments: str):
    """One of dask's own processes, killed in the end."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    found = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield found
    finally:
        found.kill()
        found.wait()


def scheduler(file: Path):
    return process(
        "distributed.cli.dask_scheduler", "--port", "0", "--scheduler-file", str(file), "--no-dashboard"
    )


def worker(file: Path):
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
    return process("distributed.cli.dask_worker", "--scheduler-file", str(file), *options)


def connected(file: Path, workers: int):
    distributed = pytest.importorskip("distributed")
    until = time.monotonic() + 120
    while not file.is_file() and time.monotonic() < until:
        time.sleep(0.1)
    client = distributed.Client(scheduler_file=str(file), timeout="60s")
    client.wait_for_workers(workers, timeout=240)
    return client


def once_begun(out: Path, kill: subprocess.Popen) -> threading.Thread:
    """Kill a process when the first unit is there."""

    def wait() -> None:
        while not len(UnitFolder(out)):
            time.sleep(0.01)
        kill.send_signal(signal.SIGKILL)

    found = threading.Thread(target=wait, daemon=True)
    found.start()
    return found


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")  # of dask's own
def test_a_killed_worker_loses_its_unit_alone(tmp_path):
    pytest.importorskip("distributed")
    file, out, study = tmp_path / "scheduler.json", tmp_path / "out", toy_study(QUICK)
    with scheduler(file), worker(file) as one, worker(file), connected(file, 2) as client:
        once_begun(out, one)
        found = replace(study, parts=Parts(1), out=out).run(client)
        assert one.wait(60) == -signal.SIGKILL
    same(found.dataset, in_one(study))


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")  # of dask's own
def test_a_killed_scheduler_loses_nothing(tmp_path):
    """What was done is kept; the rest is computed when there is a scheduler again."""
    pytest.importorskip("distributed")
    file, out, study = tmp_path / "scheduler.json", tmp_path / "out", toy_study(MEASURED)
    parts = replace(study, parts=Parts(1), out=out)
    with scheduler(file) as head, worker(file), connected(file, 1) as client:
        once_begun(out, head)
        with pytest.raises(InputError, match="the scheduler is gone"):
            parts.run(client)
    assert 0 < len(UnitFolder(out)) < 14
    file.unlink(missing_ok=True)
    with scheduler(file), worker(file), connected(file, 1):
        parts.run()  # by the client that is active
    same(merge(out).dataset, in_one(study))
