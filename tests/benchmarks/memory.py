"""The peak of memory above a loaded VGG-16 at 224 x 224, in a process of its own; Linux only."""

from __future__ import annotations

import subprocess
import sys

RUN = """
import gc, torch
from torchvision.models import vgg16
from conetheory import networks
from conetheory.chain.relevance import RelevanceChain
from conetheory.measure.meter import CscMeter
from conetheory.predict import find

def resident(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20

torch.manual_seed(0)
network = networks.load(vgg16(weights=None).eval().requires_grad_(False))
image = torch.randn(1, 3, 224, 224)
gc.collect()
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
loaded = resident("VmRSS")
WORK
print(resident("VmHWM") - loaded)
"""


def gib_above_the_model(work: str) -> float:
    """Of a statement about `network` and `image`."""
    command = [sys.executable, "-c", RUN.replace("WORK", work)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return round(float(found.stdout), 3)
