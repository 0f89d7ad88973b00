"""Small networks to certify."""

from __future__ import annotations

import itertools
from fractions import Fraction

import torch
from torch import nn

from conetheory.certify import every_image as everyimage
from conetheory.chain.relevance import RelevanceChain
from conetheory.networks import trace

F64 = torch.float64


def net(*layers: nn.Module, shape=(2, 6, 6), seed=0, positive=False):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(*layers).eval().requires_grad_(False)
    for p in model.parameters():
        p.copy_(torch.randn(p.shape, generator=generator))
        if positive:
            p.abs_()
    return trace(model, shape)


def image(shape=(2, 6, 6), seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=F64) + 0.01


def convs(positive=True, relu=True, seed=0):
    layers = []
    for _ in range(3):
        layers += [nn.Conv2d(2 if not layers else 3, 3, 3, padding=1)] + ([nn.ReLU()] if relu else [])
    return net(*layers, seed=seed, positive=positive)


def deep(method="lrp-alpha1beta0", positive=True, seed=0, **options):
    return RelevanceChain(convs(positive, seed=seed), image(), method, dtype=F64, parameters=options)


def fraction_deficit_exceeds(x, y, bound):
    """Whether 1 - cos(x, y) > bound, exactly, for nonnegative float vectors: cos < 1 - bound."""
    x, y = [[Fraction(float(v)) for v in vector] for vector in (x, y)]
    dot = sum(a * b for a, b in zip(x, y, strict=True))
    cosine_bound = 1 - Fraction(float(bound))
    return cosine_bound > 0 and dot**2 < cosine_bound**2 * sum(a * a for a in x) * sum(b * b for b in y)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return self.body(x) + x


def dense(method="lrp-alpha2beta1", widths=(40, 30, 20, 4), seed=0, mean=0.3, **options):
    layers = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    graph = net(nn.Flatten(), *layers[:-1], shape=(widths[0], 1, 1), seed=seed)
    for node in graph.nodes.values():
        if hasattr(node.op, "weight"):
            node.op.weight.add_(mean)
            node.op.bias.zero_()
    return RelevanceChain(graph, image((widths[0], 1, 1)), method, dtype=F64, parameters=options)


def two_layers(positive=False, seed=0, head=None):
    layers = [nn.Conv2d(2, 3, 1, bias=False), nn.ReLU(), head or nn.Conv2d(3, 4, 1, bias=False)]
    return net(*layers, shape=(2, 2, 2), positive=positive, seed=seed)


def certify_every_image(graph, seed=1):
    chain = RelevanceChain(graph, image((2, 2, 2), seed), dtype=F64)
    return chain, everyimage.every_image_certificate(chain, "2", "0", "input", 1)


def layers(weights, values, biases=None, shape=None, method="lrp-alpha1beta0", **options):
    """Dense layers with ReLUs between, of given weights (and biases), at one image of given values."""
    shape = shape or (len(values), 1, 1)
    body = [nn.Flatten()]
    for W in weights:
        body += [nn.Linear(len(W[0]), len(W), bias=biases is not None), nn.ReLU()]
    graph = trace(nn.Sequential(*body[:-1]).double().eval().requires_grad_(False), shape)
    ops = [node.op for node in graph.nodes.values() if hasattr(node.op, "weight")]
    for k, (op, W) in enumerate(zip(ops, weights, strict=True)):
        op.weight.copy_(torch.tensor(W, dtype=F64))
        if biases is not None:
            op.bias.copy_(torch.tensor(biases[k], dtype=F64))
    x = torch.tensor(values, dtype=F64).view(shape)
    return RelevanceChain(graph, x, method, dtype=F64, parameters=options)


def vanishing():
    """Ten layers: the first unit lives by its bias alone, so that what it gets is lost; the second one gives
    it all but 1.2e-38 of its relevance; the third one keeps its own. Columns (1e-341, 1e-379, 0), (0, 0, 1).
    """
    W = [[-1.0, -1.0, 0.0], [1.0, 1.2e-38, 0.0], [0.0, 0.0, 1.0]]
    return layers([W] * 9 + [W[1:]], [1.0, 1.0, 1.0], [[3.0, 0.0, 0.0]] * 9 + [[0.0, 0.0]])


def cancelling():
    """alpha2-beta1 with weights 1, -1 and 2^-60: at location 0 what the first output sends to channel 0
    cancels to -2^-59, in floats to zero; the second output sends all to channel 1."""
    hidden = [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    W = [[0.5, -1.0, 2.0**-60, 0.0], [0.0, 0.0, 0.0, 1.0]]
    return layers([hidden, W], [1.0] * 4, shape=(2, 1, 2), method="lrp-alpha2beta1")


def of_weights(*matrices, bias=6.0):
    """Pointwise convolutions of these weights with ReLUs between, on one pixel."""
    body = []
    for W in matrices:
        conv = nn.Conv2d(len(W[0]), len(W), 1)
        conv.weight.data = torch.tensor(W)[:, :, None, None]
        conv.bias.data.fill_(bias)
        body += [conv, nn.ReLU()]
    return body[:-1]
