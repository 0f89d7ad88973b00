"""What certificates of one image cost at all layers: SqueezeNet 1.1 at 224 x 224 from the logits, z+.

Target: at most 120 s on two cores, and 2.5 GB. The weights are random: the cost hardly depends on them.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from conetheory import networks
from conetheory.certify.cost import certificate_cost
from conetheory.chain.relevance import RelevanceChain

CERTIFY = """
import resource, time, torch
from conetheory import networks
from conetheory.certify.certifier import CscCertifier
from conetheory.certify.check import check_certificates
from conetheory.chain.relevance import RelevanceChain

torch.manual_seed(0)
network = networks.load("squeezenet1_1", "random:0")
image = torch.randn(1, 3, 224, 224, dtype=torch.float64)
start = time.perf_counter()
chain, certifier = RelevanceChain(network, image), CscCertifier("logits")
certifier.add(chain)
bounded = time.perf_counter() - start
held = check_certificates(certifier, chain)
assert not any(layer.violations for layer in held.values())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(bounded, time.perf_counter() - start, time.process_time(), peak)
"""


@pytest.mark.benchmark(group="certificates")
def test_certificates_of_squeezenet(benchmark):
    """In a process of its own; `extra_info`: seconds and peak memory in GiB, beside what is predicted."""

    def run():
        command = [sys.executable, "-c", CERTIFY]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        bounded, checked, cpu, peak = (round(float(number), 2) for number in found)
        chain = RelevanceChain(networks.load("squeezenet1_1", "random:0"), torch.zeros(1, 3, 224, 224))
        predicted = certificate_cost(chain, "logits")
        benchmark.extra_info.update(
            seconds=checked,
            bounded_s=bounded,
            cpu_s=cpu,
            peak_gib=peak,
            predicted_passes=round(predicted.passes),
            predicted_gib=round(predicted.bytes / 2**30, 2),
        )

    benchmark.pedantic(run, rounds=1)
