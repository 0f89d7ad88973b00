"""Small networks with one feature of torch.fx tracing each, and torchvision's with live batch norms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import StochasticDepth

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Toy(nn.Module):
    """Two convolutions and a linear layer around a `body(self, x)` that maps `(N, 4, 6, 6)` to itself."""

    def __init__(self, body: Callable[[nn.Module, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        for name, module in modules.items():
            self.add_module(name, module)
        self.head = nn.Linear(4 * 6 * 6, 5)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.body(self, self.stem(x)), 1))


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """`build()` in float64 and evaluation mode, with batch norms that do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build().double().eval()
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, BATCH_NORMS) and module.running_var is not None:
                    module.running_mean.normal_(0, 0.2)
                    module.running_var.uniform_(0.5, 2)
                    if module.affine:
                        module.weight.uniform_(0.5, 2)
                        module.bias.normal_(0, 0.2)
    return model


def torchvision_model(name: str) -> nn.Module:
    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    return seeded(lambda: models.get_model(name, weights=None, **options))


def random_images(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def conv() -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1)


def _in_place_then_reused(m: nn.Module, x: Tensor) -> Tensor:
    y = functional.relu(x, inplace=True)
    return m.conv(y) + x  # x is the rectified tensor by now


def in_place_add(m: nn.Module, x: Tensor) -> Tensor:
    before = x
    x += m.conv(x)
    return x + before  # the model sees one tensor twice, torch.fx a new sum and the old tensor


def _method_in_place_ignored(m: nn.Module, x: Tensor) -> Tensor:
    y = m.conv(x)
    y.relu_()
    return y


def _parts_exchanged(m: nn.Module, x: Tensor) -> Tensor:
    first, second = torch.split(x, [1, 3], dim=-3)
    return torch.cat([second, first], 1)


class OptionalArgument(Toy):
    def forward(self, x: Tensor, features: bool = False, scale: Tensor | None = None) -> Tensor:
        x = self.stem(x)
        if features:
            return x
        return self.head(torch.flatten(x if scale is None else x * scale, 1))


class Functional(nn.Module):
    """Parameters used by functions, not by modules."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.matrix = nn.Parameter(torch.randn(5, 4 * 6 * 6))
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        n = self.norm
        x = functional.conv2d(x, self.kernel.abs(), stride=1, padding=1)
        x = functional.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)
        return functional.linear(functional.leaky_relu(x, 0.2, True).view(x.size(0), -1), self.matrix)


class NamedInput(nn.Module):
    """A module called `input`, which is also what the graph calls the image, and `fc_1` beside `fc` twice."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(64, 64)
        self.fc_1 = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.fc_1(self.fc(self.input(x).flatten(1))))


BODIES: dict[str, Callable[[], nn.Module]] = {
    "same padding": lambda: Toy(
        lambda m, x: m.conv(x), conv=nn.Conv2d(4, 4, (3, 5), padding="same", dilation=(2, 1))
    ),
    "valid padding": lambda: Toy(lambda m, x: m.conv(x), conv=nn.Conv2d(4, 4, 1, padding="valid")),
    "grouped": lambda: Toy(lambda m, x: m.conv(x), conv=nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)),
    "folded": lambda: Toy(lambda m, x: m.norm(m.conv(x)).relu(), conv=conv(), norm=nn.BatchNorm2d(4)),
    "folded without bias": lambda: Toy(
        lambda m, x: m.norm(m.conv(x)),
        conv=nn.Conv2d(4, 4, 1, bias=False),
        norm=nn.BatchNorm2d(4, affine=False),
    ),
    "batch norm of its own": lambda: Toy(
        lambda m, x: m.conv(m.norm(x.relu())), conv=conv(), norm=nn.BatchNorm2d(4)
    ),
    "batch norm beside": lambda: Toy(
        lambda m, x: m.norm(y := m.conv(x)) + y, conv=conv(), norm=nn.BatchNorm2d(4)
    ),
    "batch norm twice": lambda: Toy(
        lambda m, x: m.norm(m.conv(m.norm(m.conv(x)))), conv=conv(), norm=nn.BatchNorm2d(4)
    ),
    "module twice": lambda: Toy(
        lambda m, x: m.relu(m.conv(m.relu(m.conv(x)))), conv=conv(), relu=nn.ReLU(True)
    ),
    "added to itself": lambda: Toy(lambda m, x: x + x),
    "python sum": lambda: Toy(lambda m, x: sum([x, m.conv(x)]), conv=conv()),
    "torch.add": lambda: Toy(lambda m, x: torch.add(m.conv(x), other=x), conv=conv()),
    "in-place relu then reused": lambda: Toy(_in_place_then_reused, conv=conv()),
    "in-place module then reused": lambda: Toy(
        lambda m, x: m.relu(x) + m.conv(x), relu=nn.ReLU(True), conv=conv()
    ),
    "in-place method, result ignored": lambda: Toy(_method_in_place_ignored, conv=conv()),
    "in-place after dropout": lambda: Toy(
        lambda m, x: m.relu(m.drop(x)) + x, drop=nn.Dropout(), relu=nn.ReLU(inplace=True)
    ),
    "add_": lambda: Toy(lambda m, x: m.conv(x).add_(x), conv=conv()),
    "concatenated": lambda: Toy(
        lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=nn.Conv2d(4, 1, 1), b=nn.Conv2d(4, 3, 1)
    ),
    "concatenated from behind": lambda: Toy(
        lambda m, x: torch.cat((m.a(x), m.a(x)), dim=-3), a=nn.Conv2d(4, 2, 1)
    ),
    "view": lambda: Toy(lambda m, x: x.view(x.size(0), -1).view(x.shape[0], 4, 6, 6)),
    "unflatten": lambda: Toy(
        lambda m, x: m.back(m.flat(x)), flat=nn.Flatten(2), back=nn.Unflatten(2, (6, 6))
    ),
    "squeeze": lambda: Toy(lambda m, x: x.unsqueeze(1).squeeze(1)),
    "max pool": lambda: Toy(
        lambda m, x: m.pool(m.up(x)),
        pool=nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        up=nn.Conv2d(4, 4, 1, padding=2),
    ),
    "max pool call": lambda: Toy(lambda m, x: functional.max_pool2d(x, 3, stride=1, padding=1)),
    "adaptive max pool": lambda: Toy(
        lambda m, x: functional.adaptive_max_pool2d(m.up(x), 6), up=nn.Conv2d(4, 4, 1, padding=3)
    ),
    "average pool": lambda: Toy(lambda m, x: m.pool(x), pool=nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
    "average pool call": lambda: Toy(lambda m, x: x + functional.avg_pool2d(x, 3, 1, 1)),
    "global mean by size": lambda: Toy(
        lambda m, x: functional.avg_pool2d(m.up(x), m.up(x).size()[2:][0] - 5, 1),
        up=nn.Conv2d(4, 4, 1, padding=1),
    ),
    "adaptive average pool": lambda: Toy(
        lambda m, x: m.pool(m.up(x)), pool=nn.AdaptiveAvgPool2d(6), up=nn.Conv2d(4, 4, 1, padding=2)
    ),
    "dropout call": lambda: Toy(lambda m, x: functional.dropout(x, 0.5, m.training).contiguous()),
    "dead code": lambda: Toy(lambda m, x: (x.permute(0, 2, 3, 1), m.conv(x))[1], conv=conv()),
    "stochastic depth": lambda: Toy(
        lambda m, x: m.drop(m.conv(x)) + x, drop=StochasticDepth(0.5, "row"), conv=conv()
    ),
    "axes exchanged": lambda: Toy(lambda m, x: torch.permute(x.transpose(2, 3), (0, 2, 3, 1)).swapaxes(1, 3)),
    "slices": lambda: Toy(lambda m, x: torch.cat([x[:, 2:], x[:, :2, ...]], 1)),
    "parts": lambda: Toy(_parts_exchanged),
    "half of the channels": lambda: Toy(lambda m, x: torch.cat([x.chunk(2, 1)[1], x.chunk(2, dim=1)[0]], 1)),
    "padding": lambda: Toy(
        lambda m, x: m.pad(functional.pad(x, (-1, 0, 0, -1))),
        pad=nn.ZeroPad2d((0, 1, 1, 0)),
    ),
    "pixel shuffle": lambda: Toy(
        lambda m, x: functional.pixel_unshuffle(m.shuffle(m.up(x)), 2)[:, :4],
        up=nn.Conv2d(4, 16, 1),
        shuffle=nn.PixelShuffle(2),
    ),
    "pixel shuffle of torch": lambda: Toy(
        lambda m, x: functional.pixel_unshuffle(functional.pixel_shuffle(x, 2), 2)
    ),
    "upsampling": lambda: Toy(
        lambda m, x: functional.interpolate(m.up(x[:, :, ::2]), (6, 6), mode="bilinear"),
        up=nn.Upsample(scale_factor=(2.0, 1.0)),
    ),
    "times a number": lambda: Toy(
        lambda m, x: 0.3 * m.conv(x * 2.0) / 7 + x.mul(m.conv.bias.view(-1, 1, 1)),
        conv=conv(),
    ),
    "gate": lambda: Toy(lambda m, x: x * m.conv(x.mean((2, 3), True)).sigmoid(), conv=nn.Conv2d(4, 4, 1)),
    "gate of locations": lambda: Toy(lambda m, x: torch.mul(m.conv(x).sigmoid(), x), conv=nn.Conv2d(4, 1, 1)),
    "group norm": lambda: Toy(lambda m, x: functional.group_norm(m.norm(x), 1), norm=nn.GroupNorm(2, 4)),
    "instance norm": lambda: Toy(
        lambda m, x: functional.instance_norm(m.norm(x) + x), norm=nn.InstanceNorm2d(4, affine=True)
    ),
    "norm of the last axis": lambda: Toy(lambda m, x: m.norm(x), norm=LayerNorm2d(4)),
    "constant": lambda: Toy(lambda m, x: x + 1 - m.stem.bias.view(1, -1, 1, 1)),
    "images divided": lambda: Toy(lambda m, x: x.view(-1, 2, 6, 6).view(-1, 4, 6, 6)),
    "rows mixed": lambda: Toy(lambda m, x: m.norm(m.mix(x)), mix=nn.Linear(6, 6), norm=nn.LayerNorm(6)),
    "transposed convolution": lambda: Toy(
        lambda m, x: m.up(x[..., ::2, ::2].contiguous()),
        up=nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1, groups=2),
    ),
    "transposed convolution call": lambda: Toy(
        lambda m, x: functional.conv_transpose2d(x, m.up.weight, m.up.bias, 1, 2, dilation=2),
        up=nn.ConvTranspose2d(4, 4, 3),
    ),
    "one axis": lambda: Toy(
        lambda m, x: m.mean(m.pool(m.norm(m.conv(x.flatten(2))).relu())).view(-1, 4, 6, 6),
        conv=nn.Conv1d(4, 4, 5, 2, 2, groups=2),
        norm=nn.BatchNorm1d(4),
        pool=nn.MaxPool1d(3, 1, 1),
        mean=nn.AdaptiveAvgPool1d(36),
    ),
    "one axis by calls": lambda: Toy(
        lambda m, x: functional.avg_pool1d(
            functional.max_pool1d(functional.conv1d(x.flatten(2), m.conv.weight, padding="same"), 3, 1, 1),
            3,
            1,
            1,
        ).view(-1, 4, 6, 6),
        conv=nn.Conv1d(4, 4, 3),
    ),
    "softmax": lambda: Toy(
        lambda m, x: x.flatten(2).softmax(-1).view(-1, 4, 6, 6) + functional.softmax(x, 1)
    ),
    "multi-head attention": lambda: Toy(
        lambda m, x: m.att(t := x.flatten(2).mT, t, t)[0].mT.reshape(-1, 4, 6, 6),
        att=nn.MultiheadAttention(4, 2, batch_first=True),
    ),
    "attention of tokens first": lambda: Toy(
        lambda m, x: (
            m.att(t := x.flatten(2).permute(2, 0, 1), t, m.v(t), need_weights=False)[0]
            .permute(1, 2, 0)
            .reshape(-1, 4, 6, 6)
        ),
        att=nn.MultiheadAttention(4, 2),
        v=nn.Linear(4, 4),
    ),
    "attention with a mask": lambda: Toy(
        lambda m, x: functional.scaled_dot_product_attention(
            x, m.key(x), x, torch.ones(6, 6, dtype=torch.bool).tril(), scale=0.3
        ),
        key=conv(),
    ),
    "causal attention": lambda: Toy(
        lambda m, x: functional.scaled_dot_product_attention(x, m.key(x), x, is_causal=True), key=conv()
    ),
    "attention of channels": lambda: Toy(
        lambda m, x: ((m.q(x).flatten(2) @ x.flatten(2).mT / 6).softmax(-1) @ m.q(x).flatten(2)).view(
            -1, 4, 6, 6
        ),
        q=conv(),
    ),
    "encoder layer": lambda: Toy(
        lambda m, x: m.layer(x.flatten(2).mT).mT.reshape(-1, 4, 6, 6),
        layer=nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
    ),
    "class token": lambda: Toy(
        lambda m, x: torch.cat([m.token.weight.expand(len(x), 1, 4), x.flatten(2).mT], 1)[:, 1:].mT.reshape(
            -1, 4, 6, 6
        ),
        token=nn.Embedding(1, 4),
    ),
    "optional arguments": lambda: OptionalArgument(None),
    "functional parameters": Functional,
    "names that collide": NamedInput,
    "prelu of each channel": lambda: Toy(
        lambda m, x: functional.prelu(m.act(x), m.act.weight), act=nn.PReLU(4, 0.3)
    ),
    **{
        f"activation {name}": lambda name=name: Toy(lambda m, x: m.act(x), act=getattr(nn, name)())
        for name in (
            *("LeakyReLU", "ELU", "GELU", "SiLU", "Softplus", "Tanh", "Sigmoid", "Hardswish", "ReLU6"),
            *("Hardsigmoid", "PReLU", "CELU", "SELU", "Mish", "Softsign", "Hardtanh"),
        )
    },
    **{
        f"activation call {name}": lambda name=name: Toy(lambda m, x: getattr(functional, name)(x))
        for name in (
            *("elu", "gelu", "softplus", "tanh", "hardswish", "relu6", "mish"),
            *("silu", "hardsigmoid", "sigmoid", "leaky_relu", "softsign"),
        )
    },
}
