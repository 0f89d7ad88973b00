"""A card for each figure in `experiments/results`: the command that makes it, the numbers behind it."""

from __future__ import annotations

import ast
from pathlib import Path

from docs.made.markdown import code, plain, sections
from docs.made.results import RESULTS, ROOT, named

COMMANDS = {  # of figures that no script of experiments makes under their own name
    "demo-cifar10": "conetheory demo",
    "methods-cifar10_cnn": "conetheory compare cifar10_cnn --method all",
    "paper-csc-resnet50_v2-trained": "python -m experiments.paper_csc resnet50_v2"
    " --weights resnet50_v2.safetensors --images imagenette/val --limit 32 --others 8 --few 8 --many 20"
    " --case resnet50_v2-trained --method lrp-alpha1beta0 --method lrp-alpha2beta1",
    "paper-csc-resnet50_v2-trained-methods": "python -m experiments.paper_csc resnet50_v2"
    " --weights resnet50_v2.safetensors --images imagenette/val --paper --limit 32 --others 8 --few 8"
    " --many 20 --patterns patterns-resnet50_v2.safetensors --case resnet50_v2-trained",
    "paper-csc-cifar10_cnn-trained-methods": "python -m experiments.paper_csc cifar10_cnn"
    " --images cifar10/test --paper --limit 32 --others 8 --few 8 --many 20"
    " --patterns patterns-cifar10_cnn.safetensors --case cifar10_cnn-trained",
    "paper-csc-vgg16-trained-methods": "python -m experiments.paper_csc vgg16"
    " --weights vgg16_quick.safetensors --images imagenette/val --paper --limit 16 --others 4 --few 1"
    " --many 20 --patterns patterns-vgg16.safetensors --case vgg16-trained",
    "paper-csc-vgg16-trunk-methods": "python -m experiments.paper_csc vgg16"
    " --weights vgg16_features.safetensors --images imagenette/val --paper --limit 8 --others 4 --few 1"
    " --many 20 --patterns patterns-trunk.safetensors --case vgg16-trunk",
    "rates-resnet50_v2-trained": "conetheory rates resnet50_v2 --weights resnet50_v2.safetensors"
    " --images imagenette/val/n03445777",
    "rates-vgg16-trunk": "conetheory rates vgg16 --weights vgg16_features.safetensors --start conv5_3"
    " --images imagenette/val/n03445777 --limit 1",
    "origins-cifar10": "conetheory explain cifar10_cnn --limit 1 --origin conv2 --target predicted"
    " --target ship",
}
TITLES = {
    "demo-cifar10": "Measured, predicted and certified, layer by layer: the CIFAR-10 network.",
    "methods-cifar10_cnn": "All methods on the CIFAR-10 network.",
    "paper-csc-resnet50_v2-trained": "ResNet-50 v2 with trained weights: z+ and alpha2-beta1 from its dense "
    "layer.",
    "paper-csc-resnet50_v2-trained-methods": "ResNet-50 v2 with trained weights: the talk's methods from its "
    "dense layer; hollow marks are predictions.",
    "paper-csc-cifar10_cnn-trained-methods": "The CIFAR-10 network: the talk's methods from its logits; "
    "hollow marks are predictions.",
    "paper-csc-vgg16-trained-methods": "VGG-16 with ten classes: the talk's methods from its logits; "
    "hollow marks are predictions.",
    "paper-csc-vgg16-trunk-methods": "VGG-16's convolutions with the weights of an edge detector: the talk's "
    "methods from conv4_3; hollow marks are predictions.",
    "rates-resnet50_v2-trained": "Where ResNet-50 v2 with trained weights forgets the decision, operation by "
    "operation: z+ on one photograph.",
    "rates-vgg16-trunk": "Where VGG-16's convolutions, with the weights of an edge detector, forget, "
    "operation by operation: z+ from conv5_3 on one photograph.",
    "origins-cifar10": "Where the relevance of four channels comes from, the field of location weights "
    "with its gradient, and the maps of two classes.",
}


def pages() -> dict[str, str]:
    """The gallery, with scripts whose figures are not kept at its end."""
    cards = [card(name.removesuffix(".png")) for name in named("*.png")]
    others = [
        f"- {plain(_title(path))}: `python -m experiments.{path.stem} --out DIR`"
        for path in sorted((ROOT / "experiments").glob("*.py"))
        if "--out DIR" in path.read_text() and path.stem not in {Path(n).stem for n in named("*.png")}
    ]
    return {
        "gallery.md": sections(
            "# Gallery",
            "Each figure with the command that makes it and the JSON behind it.",
            *cards,
            "## More figures",
            "\n".join(others),
        )
    }


def card(name: str) -> str:
    title = TITLES.get(name) or _title(ROOT / "experiments" / f"{name}.py")
    command = COMMANDS.get(name) or f"python -m experiments.{name} --out DIR"
    numbers = f"[{name}.json](results/{name}.json)" if (RESULTS / f"{name}.json").is_file() else ""
    return sections(
        f"## {name.replace('_', ' ').replace('-', ' ')}",
        f"![{plain(title)}](results/{name}.png)",
        plain(title),
        code(command, "bash"),
        numbers,
    ).rstrip()


def _title(path: Path) -> str:
    """The first line of a script's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or path.stem).splitlines()[0]
