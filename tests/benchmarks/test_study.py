"""What workers cost beside one process: CIFAR-10's network, 200 images, 3 methods, measured.

    python -m pytest -q --benchmark-only tests/benchmarks/test_study.py

One process of one thread, undivided, then two workers of one thread each on two cores, which are up and have
loaded the network before the clock starts: their start-up is told apart. Both in one run, so that it is a
ratio of the same machine in the same state. Target on two idle cores: at most 1.15 x half of one process.
The ratio of processor seconds, workers and who asks them over one process, is told beside it: what else the
machine does hardly changes that one, and it lacks what workers wait.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

RUN = """
import json, tempfile, time
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from conetheory import networks
from conetheory.runs.clients import cluster
from conetheory.runs.division import Parts
from conetheory.runs.settings import Settings
from conetheory.runs.source import Source
from conetheory.runs.study import Study

METHODS = ("lrp-alpha1beta0", "lrp-alpha2beta1", "gradient")

def pictures(folder, count):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(folder / f"{number:03}.png")

def study(folder, out, parts=None):
    network = networks.load("cifar10_cnn")
    images = networks.stream_images(folder, network)
    settings = Settings(starts=("logits",), theories=(), certify=0)
    divided = {"parts": parts, "source": Source.of(network, "cifar10_cnn", None)}
    out.mkdir()
    return Study(network, images, {m: {} for m in METHODS}, out, settings=settings, **divided)

def seconds(work):
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found

def spent(client=None):
    workers = [] if client is None else client.run(time.process_time).values()
    return time.process_time() + sum(workers)

if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder, count in (("few", 4), ("many", 200)):
            (root / folder).mkdir()
            pictures(root / folder, count)
        study(root / "few", root / "warm").run()
        undivided, before = study(root / "many", root / "one"), spent()
        one, whole = seconds(undivided.run)
        spent_one = spent() - before
        up, client = seconds(lambda: cluster(workers=2))
        with client:
            first, _ = seconds(lambda: study(root / "few", root / "load", Parts()).run(client))
            divided, before = study(root / "many", root / "two", Parts()), spent(client)
            two, parts = seconds(lambda: divided.run(client))
            spent_two = spent(client) - before
    assert whole.dataset.equals(parts.dataset)
    print(json.dumps({
        "seconds_one_process": round(one, 2), "seconds_two_workers": round(two, 2),
        "seconds_start": round(up, 2), "seconds_first_study": round(first, 2),
        "cpu_seconds_one_process": round(spent_one, 2), "cpu_seconds_two_workers": round(spent_two, 2),
        "cpu_of_two_workers_over_one": round(spent_two / spent_one, 3),
        "images_a_second": round(200 * len(METHODS) / two, 2),
        "two_workers_over_half_of_one": round(two / (one / 2), 3),
    }))
"""


@pytest.mark.benchmark(group="study")
def test_two_workers(benchmark, tmp_path):
    pytest.importorskip("distributed")
    script = tmp_path / "run.py"  # a file, which dask's workers import
    script.write_text(RUN)

    def run():
        out = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
        benchmark.extra_info |= json.loads(out.stdout.splitlines()[-1])

    benchmark.pedantic(run, rounds=1)
    assert benchmark.extra_info["two_workers_over_half_of_one"] <= 1.15
