"""The paper's networks in two parts: what a trunk's file has and stays frozen, and what is trained on top.

ResNet-50 v2: stages 1 to 3 are frozen, and so are the layers of stage 4 that come with the trunk; the rest of
stage 4 and the dense layer are trained. The pictures are of 160 pixels in training, where an image costs
half, and of 224 in validation.

VGG-16: conv1 to conv3 are frozen. conv4 and conv5 are trained from the trunk's weights, first at 112 pixels
with a small head, then at 160 with the three dense layers: an epoch at 224 takes as long as four at 112. The
dense layers then see maps of 224 pixels, with all convolutions frozen, since those of 160 are interpolated.
The quick recipe goes on from the small head with conv5 and the dense layers at 224 pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn
from torchvision import models

from conetheory.errors import InputError
from conetheory.networks.resnet_v2 import ResNetV2
from experiments.resumable import Settings

POOL3, POOL4, POOL5 = 17, 24, 31  # how many of VGG-16's `features` there are up to a pool
HEAD = "head"  # of a phase only; no part of the network


@dataclass(frozen=True, eq=False)
class Phase:
    """One part of the training.

    parts: from the network to its frozen part and the trained one, which share its parameters under its names
        (those under `HEAD` are extra). held: modules of the trained part that stay as they are.
    below: how many of the phases before have trained layers of the frozen part.
    """

    settings: Settings
    parts: Callable[[nn.Module], tuple[nn.Module, nn.Module]]
    held: tuple[str, ...] = ()
    below: int = 0


@dataclass(frozen=True, eq=False)
class Recipe:
    """build: the network of that name, for a number of classes. trunk: prefixes of what its file must have.

    pixels: of the validation pictures.
    """

    network: str
    build: Callable[[int], nn.Module]
    trunk: tuple[str, ...]
    phases: tuple[Phase, ...]
    pixels: int = 224

    def lasting(self, epochs: int | None) -> Recipe:
        """The same with so many epochs in each phase (None: as they are)."""
        if epochs is None:
            return self
        changed = (replace(p, settings=replace(p.settings, epochs=epochs)) for p in self.phases)
        return replace(self, phases=tuple(changed))


# ---------------------------------------------------------------- ResNet-50 v2

OF_STAGE4 = ("layer4.0.bn1", "layer4.0.conv1", "layer4.0.bn2")
STAGES = ("bn0.", "conv1.", "bn1.", "layer1.", "layer2.", "layer3.", *(f"{name}." for name in OF_STAGE4))


def resnet_v2(classes: int, build: Callable[[int], ResNetV2] = ResNetV2) -> ResNetV2:
    """He initialisation by the fan out, as usual; what a block adds starts at zero (Goyal et al. 2017).

    Stage 4 is then one 1 x 1 convolution of stage 3 at first, from which little training goes a long way.
    """
    model = build(classes)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if name.endswith("conv3"):
            nn.init.zeros_(module.get_parameter("weight"))
    return model


def below_stage4(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    names = [name for name, _ in model.named_children()]
    at = names.index("layer4")
    return _between(model, names[:at]), _between(model, names[at:])


def _between(model: nn.Module, names: list[str]) -> nn.Sequential:
    return nn.Sequential(OrderedDict((name, model.get_submodule(name)) for name in names))


# ---------------------------------------------------------------- VGG-16


def vgg16(classes: int) -> models.VGG:
    """torchvision's; He initialisation by the fan in for the dense layers, the last starts near zero."""
    model = models.vgg16(num_classes=classes, init_weights=False)
    dense = [m for m in model.classifier if isinstance(m, nn.Linear)]
    for layer in dense:
        nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    nn.init.normal_(dense[-1].weight, std=0.01)
    return model


def with_small_head(model: nn.Module, pool: int = POOL3) -> tuple[nn.Module, nn.Module]:
    """The mean over the last map and one dense layer, beside the network's own."""
    frozen, upper = _at(model, pool)
    convolutions = [m for m in upper if isinstance(m, nn.Conv2d)]
    *_, last = (m for m in model.modules() if isinstance(m, nn.Linear))
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(convolutions[-1].out_channels, last.out_features)
    )
    return frozen, nn.Sequential(OrderedDict([("features", upper), (HEAD, head)]))


def with_dense_layers(model: nn.Module, pool: int = POOL3) -> tuple[nn.Module, nn.Module]:
    """torchvision's own, 7 x 7 x 512, 4096, 4096, classes, with dropout, on the convolutions above a pool."""
    frozen, upper = _at(model, pool)
    parts = [("features", upper), ("avgpool", model.get_submodule("avgpool")), ("flatten", nn.Flatten())]
    return frozen, nn.Sequential(OrderedDict([*parts, ("classifier", model.get_submodule("classifier"))]))


def _at(model: nn.Module, pool: int) -> tuple[nn.Sequential, nn.Sequential]:
    layers = list(model.get_submodule("features").named_children())
    return nn.Sequential(OrderedDict(layers[:pool])), nn.Sequential(OrderedDict(layers[pool:]))


# ---------------------------------------------------------------- all

SMALL_HEAD = Phase(Settings(112, 3, 2e-4), with_small_head)
RECIPES: dict[str, Recipe] = {
    "resnet50_v2": Recipe(
        "resnet50_v2", resnet_v2, STAGES, (Phase(Settings(160, 3, 1e-3), below_stage4, OF_STAGE4),)
    ),
    "vgg16": Recipe(
        "vgg16",
        vgg16,
        ("features.",),
        (
            SMALL_HEAD,
            Phase(Settings(160, 2, 1e-4), with_dense_layers),
            Phase(Settings(224, 3, 5e-5), partial(with_dense_layers, pool=POOL5), below=2),
        ),
    ),
    "vgg16_quick": Recipe(
        "vgg16",
        vgg16,
        ("features.",),
        (SMALL_HEAD, Phase(Settings(224, 2, 1e-4), partial(with_dense_layers, pool=POOL4), below=1)),
    ),
}


def from_trunk(recipe: Recipe, classes: int, trunk: Mapping[str, Tensor], source: str) -> nn.Module:
    """The network with the trunk's weights, in evaluation mode.

    Raises `InputError`, naming the first tensor, where the trunk lacks one, or has one of another shape.
    """
    model = recipe.build(classes).eval()
    for name, ours in model.state_dict().items():
        if not name.startswith(recipe.trunk) or name.endswith("num_batches_tracked"):
            continue
        if name not in trunk:
            raise InputError(f"{source} is no trunk of this network: tensor {name!r} is missing")
        if trunk[name].shape != ours.shape:
            found, wanted = tuple(trunk[name].shape), tuple(ours.shape)
            raise InputError(f"{source}: tensor {name!r} is {found} in the file and {wanted} in the network")
        ours.copy_(trunk[name])
    return model
