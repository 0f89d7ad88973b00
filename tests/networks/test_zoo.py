"""Networks by name and from a module: outputs, names of layers, preprocessing, provenance and refusals."""

from __future__ import annotations

import json
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn
from torchvision import models
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from conetheory.errors import InputError, UnsupportedLayerError
from conetheory.networks import Network, load, names, presets, sources, trace
from conetheory.networks.cifar10 import CLASSES, Cifar10CNN
from conetheory.networks.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from tests.networks.toys import BATCH_NORMS, random_images

SMALL = (3, 64, 64)


def picture(width: int = 300, height: int = 260) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def refusal(*args, error=InputError, **kwargs) -> str:
    with pytest.raises(error) as caught:
        load(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
def test_random_weights_are_the_models_own_initialisation():
    torch.manual_seed(5)
    model = models.resnet18().eval()
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    network = load("resnet18", "random:5", SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)
    images = random_images(2, *SMALL).float()
    with torch.no_grad():
        torch.testing.assert_close(network.graph.forward(images), model(images), rtol=1e-4, atol=1e-5)
    other = load("resnet18", "random:6", SMALL)
    again = load("ResNet18", "random:5", SMALL)
    assert again.provenance == network.provenance
    assert other.provenance["weights_sha256"] != network.provenance["weights_sha256"]
    assert network.provenance["torch"] == torch.__version__
    assert network.provenance["weights"] == "random:5"
    assert network.classes is None
    assert network.starts == ("logits",)


def test_a_network_of_one_size_is_made_for_the_size_that_is_asked_for():
    with torch.device("meta"):
        assert sources._build("vit_b_32", 5, (3, 64, 64)).image_size == 64
        assert sources._build("vit_b_32").image_size == 224
        with pytest.raises(InputError, match=r"vit_b_32 can't be made for an input of shape \(3, 50, 50\)"):
            sources._build("vit_b_32", 5, (3, 50, 50))


@pytest.mark.parametrize("name", ["googlenet", pytest.param("inception_v3", marks=pytest.mark.exhaustive)])
def test_networks_with_auxiliary_heads_load_without_them(name):
    network = load(name, "random:0", (3, 96, 96))
    assert not any("aux" in layer.lower() for layer in network.graph.nodes)
    assert network.preprocess.mean == pytest.approx((0.485, 0.456, 0.406))  # untrained: nothing to transform


def named(name: str) -> Network:
    """The network without numbers in it, which its names don't need."""
    with torch.device("meta"):
        model = models.get_model(name).eval()
    graph = presets.with_paper_names(trace(model, SMALL), model)
    return Network(name, graph, None, Preprocess(), presets.STARTS.get(name, ("logits",)))


def test_the_papers_names_in_vgg():
    network = named("vgg16")
    assert network.starts == ("fc3", "fc1", "conv4_3", "conv3_3", "conv2_2")
    assert [network.resolve(start) for start in network.starts] == [
        *("classifier.6", "classifier.1", "features.22", "features.15", "features.8")
    ]
    assert network.graph.shape(network.resolve("pool5")) == (512, 2, 2)
    assert network.graph.shape(network.resolve("conv5_3")) == (512, 4, 4)
    assert network.graph.label("features.29") == "conv5_3"
    assert len(network.graph.aliases) == 13 + 5 + 3
    assert [network.graph.label(layer) for layer in network.layers[:4]] == [
        *("input", "conv1_1", "conv1_2", "pool1")
    ]


def test_the_papers_names_in_vgg_with_batch_norm():
    network = named("vgg11_bn")
    assert network.resolve("conv1_1") == "features.2"  # the ReLU behind the folded batch norm
    assert network.starts == ("logits",)
    assert "conv3_2" in network.graph.aliases
    assert "conv3_3" not in network.graph.aliases


@pytest.mark.slow
def test_the_papers_names_in_resnet():
    network = load("resnet50", "random:0", SMALL)
    assert network.starts == ("dense", "block5_1", "block4_2", "block3_4", "block3_2", "block2_2")
    assert network.resolve("block3_4") == "layer2.3.relu_2"
    assert network.resolve("dense") == "fc"
    assert network.resolve("conv1") == "conv1"
    assert network.graph.shape(network.resolve("block5_1")) == (2048, 2, 2)
    assert set(map(network.resolve, network.starts)) <= set(network.layers)


def test_the_bundled_cifar10_network():
    network = load("cifar10_cnn")
    assert network.starts == ("fc6", "fc5", "conv4", "conv3", "conv2")
    assert [network.resolve(start) for start in network.starts] == list(network.starts)
    assert network.layers == ("input", "conv1", "conv2", "pool1", "conv3", "conv4", "pool2", "fc5", "fc6")
    assert network.classes == CLASSES
    assert network.graph.shape("conv4") == (128, 16, 16)
    relu = [node for node in network.graph.nodes.values() if node.name == "relu4"]
    assert relu[0].inputs == ("conv4",)  # conv4 names the tensor before its ReLU
    assert load("cifar10", "DEFAULT").provenance == network.provenance
    assert network.to(dtype=torch.float64).graph.nodes["fc6"].op.weight.dtype == torch.float64


def test_the_bundled_accuracy_is_told_twice_alike():
    made = json.loads(sources.BUNDLED.with_suffix(".json").read_text())
    assert made["test_accuracy"] >= 0.80
    assert made["test_images"] == 10_000
    with safe_open(sources.BUNDLED, "pt") as file:
        assert file.metadata() == {key: str(value) for key, value in made.items()}
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118 (no dict)
    assert sources.BUNDLED.stat().st_size < 18e6
    assert load("cifar10").provenance["test_accuracy"] == str(made["test_accuracy"])


@pytest.mark.slow
def test_calibration_gives_every_batch_norm_the_statistics_of_the_images():
    images = random_images(16, *SMALL).float() * 2 + 1
    network = load("resnet18", "random:0", SMALL, calibrate=images)
    plain = load("resnet18", "random:0", SMALL)
    norms = ("bn1", "layer3.0.bn2", "layer4.1.bn1")
    for ours, default in zip(network.graph.run(images), plain.graph.run(images), strict=True):
        if ours[0].name in norms:  # running variances are the unbiased ones: 64/63 at the last norm
            assert_standard(ours[2], atol=0.1)
            with pytest.raises(AssertionError):
                assert_standard(default[2], atol=0.1)
    assert plain.provenance["weights_sha256"] != network.provenance["weights_sha256"]
    assert network.provenance["calibration"] == "batch norms calibrated on 16 images"
    state = models.resnet18().state_dict()
    source = sources.named("resnet18", "random:0", None, SMALL)
    norms = [m for m in source.model.modules() if isinstance(m, BATCH_NORMS)]
    assert all(norm.momentum == 0.1 for norm in norms)
    assert all((norm.running_mean == 0).all() and (norm.running_var == 1).all() for norm in norms)
    assert len(state) == len(source.model.state_dict())


def assert_standard(y: torch.Tensor, atol: float) -> None:
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(y.shape[1]), atol=atol, rtol=0)
    torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(y.shape[1]), atol=atol, rtol=0)


def test_calibration_that_can_not_be():
    images = torch.zeros(2, *SMALL)
    assert (
        refusal("alexnet", "random:0", SMALL, calibrate=images) == "alexnet has no batch norms to calibrate"
    )
    assert refusal("cifar10", calibrate=images) == (
        "only random:SEED weights can be calibrated; trained ones bring their statistics"
    )
    assert refusal("resnet18", "random:0", SMALL, calibrate=images[0]) == (
        "calibration images of shape (3, 64, 64) must be finite (N, C, H, W)"
    )
    message = refusal("resnet18", "random:0", SMALL, calibrate=images[:, :2])
    assert message.startswith("resnet18 can't be calibrated: ")


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "efficientnet_b0", "inception_v3"])
def test_preprocessing_is_torchvisions(name):
    transform = models.get_model_weights(name).DEFAULT.transforms()
    ours = sources._preprocess(name, trained=False)
    assert torch.equal(ours(picture()), transform(picture()))
    assert torch.equal(ours(picture(40, 30)), transform(picture(40, 30)))


def test_preprocessing_for_another_size():
    network = load("squeezenet1_1", "random:0", (3, 64, 96))
    assert network.preprocess(picture()).shape == (3, 64, 96)
    assert network.preprocess.resize == 110
    assert network.preprocess(picture(20, 500)).shape == (3, 64, 96)
    with pytest.raises(InputError, match=r"^a picture of 2 x 500 pixels is too narrow to crop$"):
        network.preprocess(picture(2, 500))


@pytest.mark.parametrize("name", InterpolationMode)
def test_a_picture_is_preprocessed_as_torchvision_does_it(name):
    """Also where it is smaller than the crop, by odd numbers of pixels, and is scaled up."""
    for size, resize, crop in [((61, 40), 32, (32, 32)), ((40, 67), 53, (33, 24)), ((9, 8), 11, (20, 5))]:
        options = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
        own = Preprocess(resize, crop, **options, interpolation=name.value)
        theirs = ImageClassification(crop_size=0, resize_size=resize, **options, interpolation=name)
        theirs.crop_size = list(crop)  # the constructor takes a side
        torch.testing.assert_close(own(picture(*size)), theirs(picture(*size)), rtol=0, atol=0)


def test_the_picture_comes_back_from_a_tensor():
    preprocess = Preprocess(64, (64, 64))
    image = picture(64, 64)
    torch.testing.assert_close(
        preprocess.undo(preprocess(image)) * 255, torch.from_numpy(np.array(image)).float(), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("name", ["googlenet", pytest.param("inception_v3", marks=pytest.mark.exhaustive)])
@pytest.mark.slow
def test_transform_input_moves_into_the_preprocessing(name):
    torch.manual_seed(0)
    build = getattr(models, name)
    model = build(weights=None, aux_logits=False, init_weights=False, transform_input=True).eval()
    with torch.no_grad():
        for module in model.modules():  # the default 1e-3-sized weights let nothing of the image through
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
    shape = (3, 96, 96)
    network = load(model, input_shape=shape)
    assert model.transform_input is True
    standard = Preprocess().resized(96, 96)
    with torch.no_grad():
        expected = model(standard(picture())[None])
    got = network.graph.forward(network.preprocess(picture())[None])
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    untransformed = network.graph.forward(standard(picture())[None])
    assert (untransformed - expected).abs().max() > 0.01 * expected.abs().max()
    own = load(model, input_shape=shape, preprocess=standard.__call__)  # one of the caller's own
    torch.testing.assert_close(own.preprocess(picture()), network.preprocess(picture()), rtol=1e-4, atol=1e-5)
    trained = sources._preprocess(name)
    assert trained.mean == pytest.approx((0.5, 0.5, 0.5))
    assert trained.std == pytest.approx((0.5, 0.5, 0.5))


def test_a_module_of_the_callers():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    network = load(model, input_shape=(1, 8, 8), classes=["no", "yes"])
    assert network.name == "Sequential"
    assert network.classes == ("no", "yes")
    assert network.provenance["weights"] == "as given"
    with pytest.raises(InputError, match=r"^this network takes no RGB pictures as they are"):
        network.preprocess(picture())
    message = refusal(model, input_shape=(1, 8, 8), classes=["a"])
    assert message == "1 classes are named, but Sequential has outputs of shape (2,)"
    cifar = load(Cifar10CNN())
    assert cifar.graph.input_shape == (3, 32, 32)
    assert cifar.graph.after_activation is False


def test_a_part_called_module_is_no_wrapper():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.module(x))

    assert list(load(Named(), input_shape=(4,)).graph.nodes) == ["module", "head"]


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
@pytest.mark.slow
def test_wrapped_modules_are_unwrapped(wrap):
    assert load(wrap(Cifar10CNN())).name == "Cifar10CNN"


def test_the_head_follows_the_classes():
    network = load("resnet18", "random:0", SMALL, classes=["cat", "dog"])
    assert network.graph.shape("fc") == (2,)


def test_every_name_is_a_classification_network():
    assert names()[0] == "cifar10_cnn"
    assert "squeezenet1_1" in names()
    assert not {"fcn_resnet50", "raft_large", "quantized_resnet18", "r3d_18"} & set(names())


REFUSED = [
    (("vgg-16",), "unknown model 'vgg-16'; did you mean vgg16, vgg19, vgg13?"),
    (("zzzz",), "unknown model 'zzzz'; `conetheory models` lists the known ones"),
    (
        ("fcos_resnet50_fpn",),
        "'fcos_resnet50_fpn' is no classification network; `conetheory models` lists those",
    ),
    (
        ("squeezenet1_1", "IMAGENET1K_V7"),
        "unknown weights 'IMAGENET1K_V7' for squeezenet1_1;"
        " give IMAGENET1K_V1, DEFAULT, random:SEED or a weights file",
    ),
    (
        ("cifar10", "IMAGENET1K_V1"),
        "unknown weights 'IMAGENET1K_V1' for cifar10_cnn; give DEFAULT, random:SEED or a weights file",
    ),
    (
        ("resnet18", "random:one"),
        "weights 'random:one': the seed after random: is a whole number such as random:0",
    ),
    ((3,), "a model is a name or an nn.Module, not int"),
    ((models.resnet18,), "a model is a name or an nn.Module, not function"),
    (
        (nn.Linear(3, 2), "random:0"),
        "weights 'random:0' need a model's name; a module of your own comes initialised",
    ),
    (
        ("squeezenet1_0", "random:0", (3, 4, 4)),
        "SqueezeNet can't take an input of shape (3, 4, 4): layer 'features.0'",
    ),
    (("resnet18", "random:0", "64"), "an input shape is (channels, height, width), not '64'"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refusals(arguments, message):
    assert refusal(*arguments).startswith(message)


def test_networks_without_rules_are_refused_before_their_weights_are_downloaded(monkeypatch):
    monkeypatch.setattr(sources, "_download", lambda found: pytest.fail("downloaded"))
    message = refusal("maxvit_t", error=UnsupportedLayerError)
    layer = "blocks.0.layers.0.layers.window_attention.attn_layer.1.einsum"
    assert message.startswith(f"layer {layer!r}: no relevance rule")


def test_a_download_that_fails(monkeypatch):
    def fail(self, *args, **kwargs):
        assert kwargs == {"progress": True, "check_hash": True, "weights_only": True}
        raise URLError("no network")

    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", fail)
    assert refusal("squeezenet1_1", "DEFAULT") == (
        "weights SqueezeNet1_1_Weights.IMAGENET1K_V1 can't be downloaded from"
        " https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth: <urlopen error no network>"
    )


def test_what_torch_says_of_a_download_is_no_result(monkeypatch, capsys):
    """torch writes that it downloads to stdout, where JSON may be."""

    def say(self, **kwargs):
        print("Downloading: somewhere")
        raise URLError("no network")

    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", say)
    refusal("squeezenet1_1", "DEFAULT")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Downloading" in printed.err


SPELLED = ("DEFAULT", "GoogLeNet_Weights.IMAGENET1K_V1")


@pytest.mark.parametrize(
    "weights",
    [
        "IMAGENET1K_V1",
        pytest.param(None, marks=pytest.mark.slow),
        *(pytest.param(name, marks=pytest.mark.exhaustive) for name in SPELLED),
    ],
)
def test_weights_by_torchvisions_name(monkeypatch, weights):
    """The file that torchvision would download, auxiliary heads included."""
    torch.manual_seed(0)
    state = models.googlenet(init_weights=False).state_dict()
    assert any(name.startswith("aux1.") for name in state)
    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", lambda self, **kwargs: dict(state))
    network = load("googlenet", weights, SMALL)
    assert network.provenance["weights"] == "torchvision GoogLeNet_Weights.IMAGENET1K_V1"
    assert network.provenance["weights_url"].endswith("googlenet-1378be20.pth")
    assert network.classes[283] == "Persian cat"
    assert network.preprocess.mean == pytest.approx((0.5, 0.5, 0.5))
    assert torch.equal(network.graph.nodes["fc"].op.weight, state["fc.weight"])


def test_nan_in_a_module():
    model = Cifar10CNN()
    with torch.no_grad():
        model.conv3.bias[4] = torch.nan
    assert refusal(model) == "Cifar10CNN: tensor 'conv3.bias' holds 1 NaN or infinite values of 128"


def test_an_absent_device():
    network = load("cifar10")
    with pytest.raises(InputError, match=r"^device gpu can't be used: ") as caught:
        network.to("gpu")
    assert "\n" not in str(caught.value)
