"""A traced graph computes what its model computes, has the right shape, or is refused with one clear line."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.networks import trace
from conetheory.networks.graph import INPUT
from conetheory.networks.ops import Add, Affine, Concat, Conv2d, PassThrough
from conetheory.networks.trace import ONE, PLAIN, WRAP
from tests.networks.toys import BODIES, Toy, conv, in_place_add, random_images, seeded, torchvision_model

NAMED = ("squeezenet1_1", "resnet18", "mobilenet_v2")  # one of each structure, and more
MORE = (
    "densenet121",
    "vgg16",
    "resnet50",
    "squeezenet1_0",
    "alexnet",
    "vgg11_bn",
    "googlenet",
    "regnet_x_400mf",
)


def assert_same(graph, model: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        expected = model(images.clone())
    assert expected.std() > 0
    assert (graph.forward(images) - expected).abs().max() < 1e-10 * expected.abs().max()


@pytest.mark.parametrize(
    "name", [*NAMED, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in MORE)]
)
def test_named_networks_compute_the_same(name):
    model = torchvision_model(name)
    graph = trace(model, (3, 64, 64))
    assert_same(graph, model, random_images(3, 3, 64, 64))
    left = [node.name for node in graph.nodes.values() if isinstance(node.op, Affine)]
    if name != "densenet121":  # its batch norms come before the convolutions, behind concatenations
        assert not left
    else:
        assert len(left) == 62  # 121 batch norms less those behind conv0 and the 58 conv1


@pytest.mark.parametrize("feature", BODIES)
def test_features_compute_the_same(feature):
    model = seeded(BODIES[feature])
    images = random_images(3, 3, 6, 6)
    graph = trace(model, (3, 6, 6))
    assert_same(graph, model, images)
    assert_same(graph, model, images[:1])


def test_named_shapes_are_those_of_the_tensors():
    model = torchvision_model("googlenet")
    graph = trace(model, (3, 64, 64))
    for node, xs, y in graph.run(random_images(2, 3, 64, 64)):
        assert tuple(y.shape[1:]) == node.shape == graph.shape(node.name)
        assert [tuple(x.shape[1:]) for x in xs] == [graph.shape(name) for name in node.inputs]


def test_vector_inputs():
    model = seeded(lambda: nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)))
    graph = trace(model, (7,))
    assert_same(graph, model, random_images(4, 7))
    assert graph.layers == (INPUT, "2", "3")
    assert not any(isinstance(node.op, Affine) for node in graph.nodes.values())


def test_a_layer_alone():
    model = seeded(lambda: nn.Linear(7, 5))
    assert_same(trace(model, (7,)), model, random_images(4, 7))


def test_folding_keeps_the_tensor_that_others_read():
    graph = trace(seeded(BODIES["batch norm beside"]), (3, 6, 6))
    assert isinstance(graph.nodes["norm"].op, Affine)
    graph = trace(seeded(BODIES["folded"]), (3, 6, 6))
    assert isinstance(graph.nodes["norm"].op, PassThrough)
    assert graph.layers == (INPUT, "stem", "relu", "head")


def test_a_model_whose_output_is_the_convolution_under_a_batch_norm_is_not_folded():
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            self.norm(y)
            return y

    model = seeded(Unused)
    graph = trace(model, (3, 6, 6))
    assert list(graph.nodes) == ["conv"]
    assert_same(graph, model, random_images(2, 3, 6, 6))


def test_structure():
    twice = trace(seeded(BODIES["module twice"]), (3, 6, 6))
    assert [n for n in twice.nodes if n.startswith("conv")] == ["conv", "conv_1"]
    assert twice.nodes["conv"].op.weight.data_ptr() == twice.nodes["conv_1"].op.weight.data_ptr()
    doubled = trace(seeded(BODIES["added to itself"]), (3, 6, 6))
    assert next(n for n in doubled.nodes.values() if isinstance(n.op, Add)).inputs == ("stem", "stem")
    joined = trace(seeded(BODIES["concatenated"]), (3, 6, 6))
    assert next(n for n in joined.nodes.values() if isinstance(n.op, Concat)).inputs == ("a", "b")
    padded = trace(seeded(BODIES["same padding"]), (3, 6, 6)).nodes["conv"].op
    assert isinstance(padded, Conv2d)
    assert padded.padding == (2, 2)
    assert "permute" not in trace(seeded(BODIES["dead code"]), (3, 6, 6)).nodes
    collide = trace(seeded(BODIES["names that collide"]), (3, 6, 6))
    assert collide.shape(INPUT) == (3, 6, 6)
    assert list(collide.nodes) == ["input_1", "flatten", "fc", "fc_1", "fc_2"]


def test_a_layer_is_named_after_its_module_and_other_calls_after_what_they_call_inside_it():
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv_2, self.conv, self.relu = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.ReLU()
            self.add = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(self.conv(self.relu(x) + x).relu())
            return self.add(self.conv_2(y)) + x.relu()

    inner = ["relu", "add_1", "conv", "relu_1", "conv_1", "conv_2", "add", "relu_2", "add_2"]
    nodes = trace(seeded(lambda: nn.Sequential(Counted(), Counted())), (3, 4, 4)).nodes
    assert list(nodes) == [f"{part}.{name}" for part in (0, 1) for name in inner]


def test_cuts_and_layers_of_a_residual_network():
    graph = trace(torchvision_model("resnet18"), (3, 64, 64))
    assert {"relu", "layer1.0.relu_1", "layer4.1.relu_1", "fc", INPUT} <= set(graph.cuts)
    assert "layer1.0.bn1" not in graph.layers
    assert "layer1.0.relu" in graph.layers
    assert "layer1.0.relu" not in graph.cuts  # the identity goes round it
    assert graph.resolve("layer2.1") == "layer2.1.relu_1"
    assert graph.resolve("logits") == graph.output == "fc"


def test_the_mode_of_the_model_is_left_alone():
    model = seeded(BODIES["folded"]).train()
    model.norm.eval()
    trace(model, (3, 6, 6))
    assert model.training
    assert model.conv.training
    assert not model.norm.training


def test_graphs_can_be_moved_and_pickled():
    graph = trace(seeded(BODIES["activation call gelu"]), (3, 6, 6))
    images = random_images(2, 3, 6, 6)
    copied = pickle.loads(pickle.dumps(graph))
    torch.testing.assert_close(copied.forward(images), graph.forward(images), rtol=0, atol=0)
    assert graph.to(dtype=torch.float32).forward(images.float()).dtype == torch.float32


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class TwoOutputs(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": x.flatten(1)}


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Overwriting(Toy):
    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x[:, 0] = 0
        return self.head(x.flatten(1))


class OverwritingAView(Toy):
    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        functional.relu_(flat := x.flatten(1))
        return self.head(flat) + self.head(x.flatten(1))


NO_RULE = "no relevance rule for "
REFUSED = {
    "square": (
        lambda: Toy(lambda m, x: x * x),
        f"layer 'mul': {NO_RULE}'mul' of two branches of one shape, (4, 6, 6), neither of them the gate:"
        " trace(model, shape, gate='left') or 'right' says which",
    ),
    "outer product": (
        lambda: Toy(lambda m, x: x.mean((2, 3), keepdim=True) * x[:, :1]),
        f"layer 'mul': {NO_RULE}'mul' of tensors of shapes (4, 1, 1) and (1, 6, 6)",
    ),
    "mask": (
        lambda: Toy(lambda m, x: x * torch.arange(36.0).view(6, 6)),
        f"layer 'mul': {NO_RULE}'mul' by a constant of shape (6, 6), not one number or one a channel",
    ),
    "quotient": (
        lambda: Toy(lambda m, x: 1 / (x * 2)),
        f"layer 'truediv': {NO_RULE}the operation 'truediv' by what depends on the image, or rounded",
    ),
    "sub": (lambda: Toy(lambda m, x: x - x), f"layer 'sub': {NO_RULE}the operation 'sub'"),
    "unbind": (
        lambda: Toy(lambda m, x: torch.stack(x.unbind(1), 1)),
        f"layer 'stack': {NO_RULE}the operation 'stack' of several tensors at once",
    ),
    "chunk of images": (
        lambda: Toy(lambda m, x: x.chunk(2, 0)[0]),
        f"layer 'chunk': {NO_RULE}'chunk' across images",
    ),
    "images exchanged": (
        lambda: Toy(lambda m, x: x.transpose(0, 1).reshape(2, 4, 6, 6)),
        f"layer 'head': {NO_RULE}'Linear' across images",
    ),
    "an image": (
        lambda: Toy(lambda m, x: x[:1]),
        f"layer 'getitem': {NO_RULE}'getitem' across images",
    ),
    "padding with ones": (
        lambda: Toy(lambda m, x: functional.pad(x, (0, 1), value=1.0)[..., 1:]),
        f"layer 'pad': {NO_RULE}'pad' with anything but zeros",
    ),
    "bicubic": (
        lambda: Toy(lambda m, x: functional.interpolate(x, scale_factor=1, mode="bicubic")),
        f"layer 'interpolate': {NO_RULE}'interpolate' with mode 'bicubic', whose weights are not those"
        " of a mean",
    ),
    "module": (
        lambda: Toy(lambda m, x: m.norm(x), norm=nn.LPPool2d(2, 1)),
        f"layer 'norm': {NO_RULE}the operation 'LPPool2d'",
    ),
    "norm of maps": (
        lambda: Toy(lambda m, x: m.norm(x), norm=nn.LayerNorm((6, 6))),
        f"layer 'norm': {NO_RULE}'LayerNorm' over some axes of a tensor of shape (4, 6, 6), neither the last"
        " alone nor all",
    ),
    "product of two branches": (
        lambda: Toy(lambda m, x: m.conv(x) @ x, conv=conv()),
        f"layer 'matmul': {NO_RULE}'matmul' of two branches, neither of them the weights of attention:"
        " trace(model, shape, gate='left') or 'right' says which is the gate",
    ),
    "softmax across images": (
        lambda: Toy(lambda m, x: x.softmax(0)),
        f"layer 'softmax': {NO_RULE}'softmax' across images",
    ),
    "norm with a factor a unit": (
        lambda: Toy(lambda m, x: m.norm(x), norm=nn.LayerNorm((4, 6, 6))),
        f"layer 'norm': {NO_RULE}'LayerNorm' with a factor for each location (GroupNorm(1, C) has none)",
    ),
    "batch statistics": (
        lambda: Toy(lambda m, x: m.norm(x), norm=nn.BatchNorm2d(4, track_running_stats=False)),
        f"layer 'norm': {NO_RULE}a batch norm that keeps no running statistics",
    ),
    "padding mode": (
        lambda: Toy(lambda m, x: m.conv(x), conv=nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")),
        f"layer 'conv': {NO_RULE}'Conv2d' with padding_mode 'reflect'",
    ),
    "even same padding": (
        lambda: Toy(lambda m, x: m.conv(x), conv=nn.Conv2d(4, 4, 2, padding="same")),
        f"layer 'conv': {NO_RULE}'Conv2d' with padding 'same' that differs between the two sides",
    ),
    "from a constant": (
        lambda: Toy(lambda m, x: 1 - x),
        f"layer 'sub': {NO_RULE}the operation 'sub' from a constant",
    ),
    "alpha": (
        lambda: Toy(lambda m, x: torch.add(x, x, alpha=2)),
        f"layer 'add': {NO_RULE}'add' with alpha",
    ),
    "broadcast": (
        lambda: Toy(lambda m, x: x + m.pool(x), pool=nn.AdaptiveAvgPool2d(1)),
        f"layer 'add': {NO_RULE}'add' of tensors of shapes (4, 6, 6) and (4, 1, 1)",
    ),
    "spatial concatenation": (
        lambda: Toy(lambda m, x: m.pool(torch.cat([x, x], 2)), pool=nn.AdaptiveAvgPool2d(6)),
        f"layer 'cat': {NO_RULE}'cat' along another axis than the channels",
    ),
    "partial mean": (
        lambda: Toy(lambda m, x: x.mean(1, keepdim=True).expand(-1, 4, -1, -1)),
        f"layer 'mean': {NO_RULE}'mean' over other axes than height and width",
    ),
    "active dropout": (
        lambda: Toy(lambda m, x: functional.dropout(x)),
        f"layer 'dropout': {NO_RULE}'dropout' that stays active in evaluation"
        " (it needs training=self.training)",
    ),
    "mixed images": (
        lambda: Toy(lambda m, x: x.transpose(0, 1).reshape(-1, 4, 6, 6)),
        f"layer 'head': {NO_RULE}'Linear' across images",
    ),
    "assignment": (
        lambda: Overwriting(None),
        f"layer 'fill': {NO_RULE}the operation 'fill_'",
    ),
    "in-place add": (
        lambda: Toy(in_place_add, conv=conv()),
        "the operations that torch.fx finds in Toy don't give its outputs",
    ),
    "view overwritten": (
        lambda: OverwritingAView(None),
        "layer 'relu_': it overwrites in place a part of 'stem', which is used again later",
    ),
    "two inputs": (TwoInputs, "the network takes a second input, 'y'; only one is supported"),
    "two outputs": (
        TwoOutputs,
        "the network's output is a dict, not one tensor of logits; give a module that returns that",
    ),
    "control flow": (
        Branching,
        "Branching can't be traced with torch.fx:"
        " symbolically traced variables cannot be used as inputs to control flow",
    ),
    "nothing": (nn.Identity, "the network gives its input back unchanged"),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_layer_and_operation(case):
    build, message = REFUSED[case]
    with pytest.raises(UnsupportedLayerError) as caught:
        trace(seeded(build), (3, 6, 6))
    advice = {NO_RULE: f"; {WRAP}", "can't be traced": f"; {PLAIN}", "second input": f": {ONE}"}
    assert str(caught.value) == message + "".join(how for what, how in advice.items() if what in message)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 1, 6), "Toy can't take an input of shape (3, 1, 6): layer 'head': "),
        ((1, 6, 6), "Toy can't take an input of shape (1, 6, 6): layer 'stem': "),
        ((3, 0, 6), "an input shape is (channels, height, width), not (3, 0, 6)"),
        (64, "Toy can't take an input of shape (64,): layer 'stem': "),
        ("64", "an input shape is (channels, height, width), not '64'"),
    ],
)
def test_inputs_that_do_not_fit(shape, message):
    with pytest.raises(InputError) as caught:
        trace(seeded(lambda: Toy(lambda m, x: m.conv(x), conv=conv())), shape)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_unknown_layer():
    graph = trace(seeded(BODIES["folded"]), (3, 6, 6))
    with pytest.raises(
        InputError, match=r"^no layer 'conv9' in this network; its layers are input, stem, relu"
    ):
        graph.resolve("conv9")
