"""What networks end in: logits in any of their shapes, one number, a feature map, several tensors."""

from __future__ import annotations

import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import conetheory as ct
from conetheory.errors import ConeTheoryError, InputError, UnsupportedLayerError
from conetheory.networks import load, load_images
from conetheory.saliency.classes import class_maps, class_sensitivity
from conetheory.saliency.explain import explain, one_hot
from conetheory.saliency.maps import explain_maps
from conetheory.saliency.pictures import class_index, predicted_classes
from conetheory.sanity import SanitySettings, sanity_check
from tests.networks.toys import random_images

SHAPE = (3, 8, 8)


class Ending(nn.Module):
    """A small convolutional network with an end of its own."""

    def __init__(self, outputs: int, end: object) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.head, self.pool = nn.Conv2d(4, outputs, 1), nn.AdaptiveAvgPool2d(1)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self, self.head(self.relu(self.conv(x))))


def network(outputs: int, end: object) -> tuple[nn.Module, ct.networks.Network]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Ending(outputs, end).eval()
    return model, load(model, input_shape=SHAPE)


def flattened(m: nn.Module, x: Tensor) -> Tensor:
    return m.pool(x).flatten(1)


ENDS = {
    "(N, C)": (5, flattened, (5,)),
    "(N, C, 1, 1)": (5, lambda m, x: m.pool(x), (5,)),
    "(N, C, 1)": (5, lambda m, x: m.pool(x).flatten(2), (5,)),
    "(N, 1, 1, 1)": (1, lambda m, x: m.pool(x), (1,)),
    "(N, 1)": (1, flattened, (1,)),
    "(N,)": (1, lambda m, x: m.pool(x).flatten(1).squeeze(1), (1,)),
    "(N,) after an activation": (
        1,
        lambda m, x: torch.sigmoid(m.pool(x).squeeze(3).squeeze(2).squeeze(1)),
        (1,),
    ),
    "(N,) and back": (1, lambda m, x: m.pool(x).flatten(0).unsqueeze(1), (1,)),
}


@pytest.mark.parametrize("case", ENDS)
def test_logits_in_any_of_their_shapes(case):
    outputs, end, shape = ENDS[case]
    (model, found), x = network(outputs, end), random_images(2, *SHAPE).float()
    assert found.graph.shape(found.graph.output) == shape
    assert found.graph.classes == outputs
    with torch.no_grad():
        expected = model(x).reshape(2, outputs)
    torch.testing.assert_close(found.graph.forward(x), expected)
    _, plain = network(
        outputs, lambda m, y: torch.sigmoid(flattened(m, y)) if "activation" in case else flattened(m, y)
    )
    torch.testing.assert_close(explain(found, x, "gradient"), explain(plain, x, "gradient"))
    if outputs == 1:
        with pytest.raises(InputError, match="the network has one output"):
            class_sensitivity(found, x, "gradient")


@pytest.mark.parametrize("case", ["(N, C, 1, 1)", "(N,)"])
def test_what_needs_classes_takes_them(case):
    outputs, end, _ = ENDS[case]
    x = random_images(2, *SHAPE).float()
    pair = network(outputs, end)[1], network(outputs, flattened)[1]
    settings = SanitySettings(measures=("cosine",), modes=("cascading",), layers=("conv",))
    pieces = {
        "map": lambda n: explain_maps(n, x, "lrp-alpha1beta0"),
        "similarity": lambda n: sanity_check(n, x, "lrp-alpha1beta0", settings),
        "measured_deficit_median": lambda n: ct.measure_csc(ct.RelevanceChain(n, x)),
    }
    if outputs > 1:
        pieces["class_distance_worst"] = lambda n: class_sensitivity(n, x, "lrp-alpha1beta0")
    for name, piece in pieces.items():
        found, expected = (torch.from_numpy(piece(n).dataset[name].values) for n in pair)
        torch.testing.assert_close(found, expected, equal_nan=True)


def test_names_of_classes_fit_flattened_outputs_and_no_trunk():
    model = Ending(2, lambda m, x: m.pool(x))
    assert load(model, input_shape=SHAPE, classes=["cat", "dog"]).classes == ("cat", "dog")
    with pytest.raises(InputError, match=r"2 classes are named, but Ending has outputs of shape \(2, 8, 8\)"):
        load(Ending(2, lambda m, x: x), input_shape=SHAPE, classes=["cat", "dog"])


def test_a_name_that_is_taken_is_not_taken_again():
    model = nn.Sequential(OrderedDict(flatten=nn.Conv2d(3, 4, 8)))
    found = load(model, input_shape=SHAPE)
    assert found.graph.output == "flatten_1"
    assert found.graph.shape("flatten") == (4, 1, 1)


@pytest.fixture(scope="module")
def trunk() -> ct.networks.Network:
    return network(6, lambda m, x: m.relu(x))[1]


def test_a_trunk_is_measured_and_predicted_from_its_layers(trunk):
    x = random_images(2, *SHAPE).float()
    chain = ct.RelevanceChain(trunk, x)
    measured = ct.measure_csc(chain, "head", layers=["conv", "input"])
    assert bool(measured.dataset["measured_deficit_median"].notnull().all())
    assert ct.predict_csc(chain, "head", theory="local-spectrum").dataset.sizes["layer"] >= 2
    assert ct.certify_csc(chain, "head").dataset["violations"].sum() == 0
    found = ct.audit(trunk, x, "lrp-alpha1beta0", start="head", theories=(), certify=0)
    assert list(found.comparison.dataset["start"].values) == ["head"]


PIECES = {
    "explain": lambda n, x: explain(n, x, "gradient"),
    "explain by an explainer": lambda n, x: explain(n, x, "occlusion"),
    "explain_maps": lambda n, x: explain_maps(n, x, "gradient"),
    "class_sensitivity": lambda n, x: class_sensitivity(n, x, "gradient"),
    "sanity_check": lambda n, x: sanity_check(n, x, "gradient"),
    "predicted_classes": predicted_classes,
    "class_index": lambda n, x: class_index(n, 0),
    "a verdict": lambda n, x: ct.audit(n, x, "gradient"),
}


@pytest.mark.parametrize("piece", PIECES)
def test_a_trunk_has_no_classes(trunk, piece):
    with pytest.raises(InputError) as caught:
        PIECES[piece](trunk, random_images(2, *SHAPE).float())
    assert str(caught.value) == (
        "the network's output is a feature map of shape (6, 8, 8), which has no classes or logits: "
        "start from a layer, such as 'relu_1', or add a head"
    )


def test_maps_are_no_logits(trunk):
    x = random_images(2, *SHAPE).float()
    chain = ct.RelevanceChain(trunk, x)
    for piece in (lambda: one_hot(chain.logits), lambda: class_maps(chain, [0])):
        with pytest.raises(InputError, match=r"outputs of shape \(6, 8, 8\) are no logits"):
            piece()


def test_pictures_of_a_trunk_have_no_labels(trunk, tmp_path):
    for name in ("0", "1"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "a.png")
    assert load_images(tmp_path, trunk).labels is None


class Several(nn.Module):
    def __init__(self, gather: object) -> None:
        super().__init__()
        self.one, self.other, self.gather = nn.Linear(4, 2), nn.Linear(4, 3), gather

    def forward(self, x: Tensor) -> object:
        return self.gather(self.one(x), self.other(x))


SEVERAL = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [a, b],
    "dict": lambda a, b: {"logits": a, "more": b},
    "nested": lambda a, b: (a, {"more": b}),
    "one in a tuple": lambda a, b: (a,),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_several_outputs_are_refused_in_one_line(case):
    kind = {"nested": "tuple", "one in a tuple": "tuple"}.get(case, case)
    with pytest.raises(UnsupportedLayerError) as caught:
        load(Several(SEVERAL[case]), input_shape=(4,))
    assert str(caught.value) == (
        f"the network's output is a {kind}, not one tensor of logits; give a module that returns that"
    )


def test_shapes_of_numpy_are_shapes_and_truth_values_none():
    assert load(nn.Linear(4, 2), input_shape=(np.int64(4),)).graph.input_shape == (4,)
    with pytest.raises(InputError, match="an input shape is"):
        load(nn.Linear(1, 2), input_shape=(True,))


def test_networks_without_numbers_or_outputs_are_refused(tmp_path):
    with pytest.raises(
        InputError, match="tensor 'weight' of Linear is on the meta device and holds no numbers"
    ):
        load(nn.Linear(4, 2, device="meta"), input_shape=(4,))
    torch.save(nn.Linear(4, 2).state_dict(), path := tmp_path / "a.pth")
    assert load(nn.Linear(4, 2, device="meta"), path, (4,)).graph.classes == 2
    with pytest.raises(UnsupportedLayerError, match=r"output, of shape \(0,\), holds no numbers"):
        load(nn.Sequential(nn.Flatten(), _empty()), input_shape=(4,))


def _empty() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Linear(4, 0)


def test_a_network_without_parameters_has_nothing_to_randomise():
    found = load(nn.ReLU(), input_shape=(4,))
    with pytest.raises(InputError, match="no layer with parameters to randomise"):
        sanity_check(found, torch.rand(2, 4), "gradient")


class Batch(nn.Module):
    """Reckons with a batch of one or of two."""

    def __init__(self, end: object) -> None:
        super().__init__()
        self.fc, self.end = nn.Linear(4, 4), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.fc(x))


@pytest.mark.parametrize(
    "end",
    [
        lambda x: x.view(1, -1),
        lambda x: x.view(2, 2, 2).flatten(1),
        lambda x: x.flatten(),
        lambda x: x.mean(),
        lambda x: x.sum(),
        lambda x: x.t(),
        lambda x: x[0],
        lambda x: x.view(-1),
        lambda x: x.view(2, 4),
    ],
)
def test_batches_that_are_mixed_or_counted_on_are_refused(end):
    with pytest.raises(ConeTheoryError) as caught:
        load(Batch(end), input_shape=(4,))
    assert "\n" not in str(caught.value)
