"""Where a network comes from: torchvision's zoo, those of this package, or the caller's module.

torchvision is imported by what asks for a network of its zoo: its import takes as long as torch's.
"""

from __future__ import annotations

import copy
import difflib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from conetheory.errors import InputError, one_line
from conetheory.networks import cifar10, trunks, weights
from conetheory.networks.cifar10 import Cifar10CNN
from conetheory.networks.ops import Shape
from conetheory.networks.preprocess import IMAGENET_MEAN, IMAGENET_STD, Affine, Preprocess, Triple
from conetheory.networks.resnet_v2 import NAME as RESNET50_V2
from conetheory.networks.resnet_v2 import ResNetV2
from conetheory.networks.trace import trace

if TYPE_CHECKING:
    from torchvision import models

CIFAR10 = "cifar10_cnn"
OWN = (CIFAR10, RESNET50_V2)  # networks that torchvision does not have
ALIASES = {"cifar10": CIFAR10, "resnet50v2": RESNET50_V2}
# networks of which a trunk may be had without the rest, and what trains that
TRAINED = {
    name: f"python -m experiments.train_imagenette --recipe {name} --trunk FILE --images DIR"
    for name in (RESNET50_V2, "vgg16")
}
BUNDLED = Path(__file__).parent / "bundled" / "cifar10_cnn.safetensors"
CIFAR_CROP = (cifar10.INPUT_SIZE, cifar10.INPUT_SIZE)
CIFAR_PREPROCESS = Preprocess(cifar10.INPUT_SIZE, CIFAR_CROP, cifar10.MEAN, cifar10.STD)
# what GoogLeNet and Inception do to an ImageNet-normalised input before their first layer
TO_HALVES = Affine(
    cast(Triple, tuple(s / 0.5 for s in IMAGENET_STD)),
    cast(Triple, tuple((m - 0.5) / 0.5 for m in IMAGENET_MEAN)),
)
TRANSFORMING = ("googlenet", "inception_v3")
# networks that are made for one size of inputs, by how their names begin
SIZED: dict[str, Callable[[Shape], dict[str, Any]]] = {
    "vit_": lambda shape: {"image_size": shape[1]},
    "maxvit_": lambda shape: {"input_size": shape[1:]},
}
AUXILIARY = re.compile(r"(^|\.)(aux1|aux2|AuxLogits)\.")  # heads that only training uses
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True, eq=False)
class Source:
    """A model in evaluation mode with its weights, and what goes with them."""

    name: str
    model: nn.Module
    preprocess: Preprocess
    classes: tuple[str, ...] | None = None
    provenance: dict[str, str] = field(default_factory=dict)
    sized: bool = True  # whether the preprocessing is the model's own, so that its crop is the input's size

    @property
    def shape(self) -> Shape:
        """The shape of an input; `InputError` of a module that does not say it."""
        if not self.sized:
            raise InputError(
                f"{self.name} does not say at what shape it is to be traced: give "
                "input_shape=(channels, height, width) or (features,), or images of that shape"
            )
        return (3, *self.preprocess.crop)


def names() -> tuple[str, ...]:
    """The names that `load` takes: this package's networks and torchvision's classification networks."""
    from torchvision import models

    return (*OWN, *models.list_models(module=models))


def versions(model: nn.Module) -> dict[str, str]:
    """sha256 of the weights as used, and the versions of torch and torchvision."""
    return {
        "weights_sha256": weights.fingerprint(model),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
    }


def named(
    name: str, source: str | Path | None, classes: Sequence[str] | None, input_shape: Shape | None
) -> Source:
    """The network of this name with weights from `source`, as `load` describes."""
    name = _known(name)
    if isinstance(source, str) and source.startswith("random:"):
        return _random(name, source, classes, input_shape)
    found = _weights_name(name, source)
    if found is None:
        path = Path(str(source))
        model = _fitted(name, weights.read(path), str(path))
        return Source(name, model, _preprocess(name), _class_names(name, model), {"weights": path.name})
    if isinstance(found, str):
        return _bundled()
    preprocess = _preprocess(name, found)
    if not _downloaded(found):  # refuse a network without rules before that
        with torch.device("meta"):
            trace(_build(name), input_shape or (3, *preprocess.crop))
    model = _fitted(name, _download(found), str(found))
    provenance = {"weights": f"torchvision {found}", "weights_url": found.url}
    return Source(name, model, preprocess, tuple(found.meta["categories"]), provenance)


def module(model: nn.Module, source: str | Path | None) -> Source:
    """The caller's module as it is, or a copy of it with weights from a file."""
    model = _unwrapped(model)
    name = type(model).__name__
    if source is None:
        weights.check_finite(model.state_dict(), name)
    elif str(source).startswith("random:"):
        raise InputError(f"weights {source!r} need a model's name; a module of your own comes initialised")
    else:
        state = weights.read(Path(source))
        model = weights.fit(lambda _: _copied(model), state, str(source), name)
    if absent := [k for k, v in model.state_dict().items() if isinstance(v, Tensor) and v.is_meta]:
        raise InputError(f"tensor {absent[0]!r} of {name} is on the meta device and holds no numbers")
    preprocess = CIFAR_PREPROCESS if isinstance(model, Cifar10CNN) else Preprocess()
    origin = "as given" if source is None else Path(source).name
    sized = isinstance(model, Cifar10CNN) or type(model).__module__.startswith("torchvision.models")
    return Source(name, model, preprocess, None, {"weights": origin}, sized)


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network that torch.compile, DataParallel and the like have inside."""
    while True:
        if type(model).__module__.startswith("torch._dynamo"):  # OptimizedModule, whose import takes seconds
            model = cast(nn.Module, model._orig_mod)
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(model, torch.jit.ScriptModule):
            raise InputError("a TorchScript program can't be traced; give the module that it was made from")
        else:
            return model


def _copied(model: nn.Module) -> nn.Module:
    """A copy that leaves the caller's weights alone.

    What pruning and weight norms compute from their parameters can't be copied while it hangs on autograd's
    graph; it is computed anew before each call.
    """
    held = [
        (vars(module), key, value)
        for module in model.modules()
        for key, value in vars(module).items()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    for attributes, key, value in held:
        attributes[key] = value.detach()
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a module may hold anything: locks, files, generators, ...
        reason = one_line(error)
        raise InputError(
            f"{type(model).__name__} can't be copied ({reason}); load the weights into it and give it alone"
        ) from error
    finally:
        for attributes, key, value in held:
            attributes[key] = value


def calibrated(source: Source, images: Tensor) -> Source:
    """The source with its batch norms' statistics set to those of `images` `(N, C, H, W)`, in one batch."""
    norms = [m for m in source.model.modules() if isinstance(m, BATCH_NORMS)]
    if not source.provenance["weights"].startswith("random:"):
        raise InputError("only random:SEED weights can be calibrated; trained ones bring their statistics")
    if not norms:
        raise InputError(f"{source.name} has no batch norms to calibrate")
    if images.ndim != 4 or len(images) == 0 or not torch.isfinite(images).all():
        raise InputError(f"calibration images of shape {tuple(images.shape)} must be finite (N, C, H, W)")
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the statistics of the batch itself, not a running average
        norm.train()
    try:
        with torch.no_grad():
            source.model(images)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{source.name} can't be calibrated: {one_line(error)}") from error
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
    note = f"batch norms calibrated on {len(images)} images"
    return replace(source, provenance=source.provenance | {"calibration": note})


def _known(name: str) -> str:
    wanted = ALIASES.get(name.lower(), name.lower())
    if wanted in OWN:
        return wanted
    from torchvision import models

    if wanted in names():
        return wanted
    if wanted in models.list_models():
        raise InputError(f"{name!r} is no classification network; `conetheory models` lists those")
    near = difflib.get_close_matches(wanted.replace("-", "_"), names(), n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(near)}?" if near else "`conetheory models` lists the known ones"
    raise InputError(f"unknown model {name!r}; {hint}")


def _weights_name(name: str, source: str | Path | None) -> models.WeightsEnum | str | None:
    """The torchvision weights or `"bundled"` that `source` names; None where it is the path of a file."""
    own = {CIFAR10: {"DEFAULT": "bundled"}, RESNET50_V2: {}}
    known = own[name] if name in OWN else _enum(name).__members__
    wanted = "DEFAULT" if source is None else str(source).rpartition("_Weights.")[2]
    if wanted in known:
        return known[wanted]
    if source is None:
        raise InputError(
            f"{name} comes without weights: give random:SEED or a weights file; `{TRAINED[name]}` makes one"
        )
    path = Path(str(source))
    if isinstance(source, Path) or path.suffix or path.exists() or len(path.parts) > 1:
        return None
    raise InputError(
        f"unknown weights {source!r} for {name}; give {', '.join([*known, 'random:SEED'])} or a weights file"
    )


def _build(name: str, classes: int | None = None, shape: Shape | None = None) -> nn.Module:
    """The network as torchvision initialises it, made for inputs of this shape where it is made for one."""
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if shape is not None and len(shape) == 3:
        options |= next((of(shape) for start, of in SIZED.items() if name.startswith(start)), {})
    if name == CIFAR10:
        return Cifar10CNN(**options).eval()
    if name == RESNET50_V2:
        return ResNetV2(**options).eval()
    if name in TRANSFORMING:
        options |= {"aux_logits": False, "init_weights": True, "transform_input": False}
    from torchvision import models

    try:
        return models.get_model(name, weights=None, **options).eval()
    except (AssertionError, ValueError) as error:
        if shape is None:
            raise
        raise InputError(f"{name} can't be made for an input of shape {shape}: {one_line(error)}") from error


def _random(
    name: str, source: str, classes: Sequence[str] | None, input_shape: Shape | None = None
) -> Source:
    with seeded(source):
        model = _build(name, None if classes is None else len(classes), input_shape)
    preprocess = CIFAR_PREPROCESS if name == CIFAR10 else _preprocess(name, None, trained=False)
    return Source(name, model, preprocess, None, {"weights": source})


@contextmanager
def seeded(source: str) -> Iterator[None]:
    """torch's draws by the seed of `random:SEED`, on the CPU. Raises `InputError`."""
    digits = source.removeprefix("random:")
    if not re.fullmatch(r"\d{1,18}", digits, re.ASCII):
        raise InputError(f"weights {source!r}: the seed after random: is a whole number such as random:0")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(int(digits))
        yield


def default_weights(name: str) -> models.WeightsEnum:
    """The weights that torchvision gives a network by default."""
    return cast(Any, _enum(name)).DEFAULT  # each of torchvision's has it


def _enum(name: str) -> type[models.WeightsEnum]:
    """All weights that torchvision has for a network."""
    from torchvision import models

    return models.get_model_weights(name)


def _preprocess(name: str, found: models.WeightsEnum | None = None, trained: bool = True) -> Preprocess:
    """torchvision's preprocessing for these weights, by default for the network's default ones."""
    if name == CIFAR10:
        return CIFAR_PREPROCESS
    if name == RESNET50_V2:
        return Preprocess()
    transform = (found or default_weights(name)).transforms()
    preprocess = Preprocess(
        transform.resize_size[0],
        (transform.crop_size[0], transform.crop_size[0]),
        cast(Triple, tuple(transform.mean)),
        cast(Triple, tuple(transform.std)),
        transform.interpolation.value,
    )
    return preprocess.then(TO_HALVES) if trained and name in TRANSFORMING else preprocess


def _class_names(name: str, model: nn.Module) -> tuple[str, ...] | None:
    """The usual class names, where the head still has its usual size."""
    if name == CIFAR10:
        usual = cifar10.CLASSES
    else:  # of ImageNet, whichever of its networks is asked
        usual = tuple(default_weights("resnet50" if name == RESNET50_V2 else name).meta["categories"])
    *_, last = (m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    return usual if len(last.weight) == len(usual) else None


def _fitted(name: str, state: weights.State, source: str) -> nn.Module:
    if name in TRANSFORMING:
        state = {k: v for k, v in state.items() if not AUXILIARY.search(k)}
    if name.startswith("densenet"):  # older files call norm1 norm.1
        state = {re.sub(r"\.(norm|relu|conv)\.([12])\.", r".\1\2.", k): v for k, v in state.items()}
    build, state = trunks.held_by(state, name, partial(_build, name))
    try:
        return weights.fit(build, state, source, name)
    except InputError as error:
        if name not in TRAINED or not str(error).endswith("is missing"):
            raise
        raise InputError(f"{error}; of a trunk, `{TRAINED[name]}` trains the rest") from error


def _downloaded(found: models.WeightsEnum) -> bool:
    """Whether torch has the file already, where it keeps what it downloads."""
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(found.url).path).name).is_file()


def _download(found: models.WeightsEnum) -> weights.State:
    try:
        with redirect_stdout(sys.stderr):  # where torch says that it downloads
            state = found.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        reason = one_line(error)
        raise InputError(f"weights {found} can't be downloaded from {found.url}: {reason}") from error
    return weights.tidy(state, str(found))


def _bundled() -> Source:
    if not BUNDLED.is_file():
        raise InputError(
            f"the bundled weights are missing; reinstall conetheory, or train them into {BUNDLED}"
        )
    made = json.loads(BUNDLED.with_suffix(".json").read_text())
    model = _fitted(CIFAR10, weights.read(BUNDLED), BUNDLED.name)
    provenance = {"weights": "bundled with conetheory", "test_accuracy": str(made["test_accuracy"])}
    return Source(CIFAR10, model, CIFAR_PREPROCESS, cifar10.CLASSES, provenance)
