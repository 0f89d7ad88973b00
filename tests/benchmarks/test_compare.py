"""The default `compare` of five networks, beside an autograd pass of its 10 vectors and what the plan said.

Random weights, one image, from the logits (the CIFAR-10 network: its own weights). Targets on two idle cores:
VGG-16 at most 15 autograd passes and 60 s, SqueezeNet 25 s, ResNet-50 60 s, each at most 2.5 GB; time and
memory of every stage within a factor of 1.5 of what the plan said, a pass taken from the measurement.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

NETWORKS = ("cifar10_cnn", "squeezenet1_1", "resnet18", "vgg16", "resnet50")
METHOD = "lrp-alpha1beta0"

RUN = """
import ctypes, gc, json, sys, time, torch
from conetheory import networks
from conetheory.runs import method as one_method
from conetheory.runs.settings import Settings

name, method = sys.argv[1:]
network = networks.load(name, None if name == "cifar10_cnn" else "random:0")
image = torch.randn(1, *network.graph.input_shape, generator=torch.Generator().manual_seed(0))

def resident(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024

def autograd():
    began = time.perf_counter()
    x = image.expand(10, -1, -1, -1).clone().requires_grad_()
    for node, _, y in network.graph.run(x):
        pass
    y.backward(torch.randn_like(y))
    return time.perf_counter() - began

def at_rest():  # resident when all that was freed went back to the system
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return resident("VmRSS")

seconds, peaks, added = [], [], []
passes = min(autograd() for _ in range(2))
loaded = at_rest()

through = one_method._Run._through

def timed(self, *given):
    before = at_rest()
    open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
    began = time.perf_counter()
    done = through(self, *given)
    done.result()  # medians and bands are a stage's too; they are computed once
    seconds.append(time.perf_counter() - began)
    peaks.append(resident("VmHWM") - loaded)
    added.append(resident("VmHWM") - before)
    return done

one_method._Run._through = timed
began = time.perf_counter()
found = one_method.run(network, image, method, Settings())
whole = time.perf_counter() - began
plan = found.plans[method]
ran = [step for step in plan.steps if step.runs]
unit = seconds[0] / ran[0].passes
print(json.dumps({
    "seconds": whole,
    "autograd_passes": whole / passes,
    "gigabytes": max(peaks) / 1e9,
    "left_out": [step.stage for step in plan.left_out],
    "stages": {
        step.stage: {"seconds": s, "took_over_said": s / (unit * step.passes),
                     "gigabytes": peak / 1e9, "said_gigabytes": step.bytes / 1e9}
        for step, s, peak in zip(ran, seconds, added)
    },
}))
"""


@pytest.mark.benchmark(group="compare")
@pytest.mark.parametrize("name", NETWORKS)
def test_compare(benchmark, name):
    def run():
        command = [sys.executable, "-c", RUN, name, METHOD]
        out = subprocess.run(command, capture_output=True, text=True, check=True)
        benchmark.extra_info |= json.loads(out.stdout.splitlines()[-1])

    benchmark.pedantic(run, rounds=1)
