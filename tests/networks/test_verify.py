"""The graph against its model: output by output, on pictures too, in float64 whatever the model's dtype."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from conetheory.errors import UnsupportedLayerError
from conetheory.networks import trace
from conetheory.networks.graph import INPUT
from conetheory.networks.ops import Affine, PassThrough
from conetheory.networks.randomise import randomised
from conetheory.networks.verify import examples
from tests.networks.toys import random_images

WRONG = "the operations that torch.fx finds in .* don't give its outputs"


class Overwritten(nn.Module):
    """`x += part(x)` in place, which torch.fx takes for a new tensor: the model's other branch sees it."""

    def __init__(self, part: nn.Module, scales: Tensor) -> None:
        super().__init__()
        self.part, self.head = part, nn.Linear(3 * 36, len(scales))
        with torch.no_grad():
            self.head.weight *= scales[:, None]
            self.head.bias *= scales
            self.head.weight[0] = 0  # the first output does not see it
            self.head.bias[0] = scales[0]

    def forward(self, x: Tensor) -> Tensor:
        y = x = self.part[0](x)
        x += self.part[1](x)
        return self.head(y.flatten(1))


def seeded(bias: float, scales: list[float]) -> nn.Module:
    torch.manual_seed(0)
    quiet = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    with torch.no_grad():
        quiet[0].bias += bias
    return Overwritten(nn.Sequential(nn.Conv2d(3, 3, 1), quiet), torch.tensor(scales)).eval()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_an_output_far_below_the_largest_counts(dtype):
    """Only outputs of 1e-4 of the largest are wrong, or, where the dtype has them, of 1e-30."""
    small = 1e-4 if dtype == torch.float16 else 1e-30
    with pytest.raises(UnsupportedLayerError, match=WRONG):
        trace(seeded(0.0, [1.0, small, small]).to(dtype), (3, 6, 6))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_what_only_pictures_reach_counts(dtype):
    """Noise does not get through a bias of -60; pictures in [0, 255] do."""
    model = seeded(-60.0, [1.0, 1.0]).to(dtype)
    noise = torch.randn((64, 3, 6, 6), generator=torch.Generator().manual_seed(1))
    assert not model.float().part[1](model.part[0](noise)).any()
    with pytest.raises(UnsupportedLayerError, match=WRONG):
        trace(model.to(dtype), (3, 6, 6))


def test_examples_are_noise_and_pictures():
    noise, normalised, bytes_ = examples((3, 32, 32), torch.float64, torch.device("cpu"))
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert (normalised.min(), normalised.max()) == pytest.approx((-2.0, 2.43), abs=0.05)
    assert (bytes_.min(), bytes_.max()) == pytest.approx((0, 255), abs=1)
    assert (bytes_[:, 1:] - bytes_[:, :-1]).abs().max() < 60
    assert examples((7,), torch.float32, torch.device("cpu")).shape == (3, 7)


def test_a_model_that_overflows_can_be_traced():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    for layer in model:
        layer.weight.data *= 1e200
    assert trace(model, (3,)).output == "1"


class Constant(nn.Module):
    """A kernel that no module holds stays float32 when the model is promoted."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = [torch.randn(2, 3, 3, 3)]
        self.head = nn.Linear(2 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.conv2d(x, self.kernels[0]).relu().flatten(1))


def test_a_model_that_only_runs_in_its_own_dtype():
    model = Constant().eval()
    graph = trace(model, (3, 6, 6))
    images = random_images(2, 3, 6, 6).float()
    torch.testing.assert_close(graph.forward(images), model(images).detach())


# ---------------------------------------------------------------- float64 that is float64


def norms(dtype: torch.dtype, before: bool = False) -> nn.Module:
    """A batch norm of mean 1e4 and variance 0.1 behind (or before) a convolution, made in float32."""
    torch.manual_seed(0)
    norm, layer = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1)
    body = [nn.ReLU(), norm, layer] if before else [layer, norm, nn.ReLU()]
    model = nn.Sequential(*body, nn.Flatten(), nn.Linear(108, 4)).eval()
    norm.running_mean.fill_(1e4)
    norm.running_var.fill_(0.1)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
        layer.bias.fill_(1e4)
    return model.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["folded", "of its own", "dense"])
def test_batch_norms_are_folded_after_promotion(dtype, kind):
    if kind == "dense":
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)).eval().to(dtype)
        model[1].running_mean.fill_(1e4)
        model[1].running_var.fill_(0.1)
        shape: tuple[int, ...] = (5,)
    else:
        model, shape = norms(dtype, before=kind == "of its own"), (3, 6, 6)
    graph = trace(model, shape)
    kinds = [type(node.op) for node in graph.nodes.values()]
    assert (Affine in kinds) == (kind == "of its own")
    images = random_images(4, *shape)
    expected = copy.deepcopy(model).double()(images).detach()
    found = graph.to(dtype=torch.float64).forward(images)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    single = graph.to(dtype=torch.float32)
    for name, node in single.nodes.items():
        exact = graph.to(dtype=torch.float64).nodes[name].op
        for key, value in vars(node.op).items():
            if isinstance(value, Tensor):  # rounded once
                assert torch.equal(value, getattr(exact, key).float())


def test_other_parameters_in_the_place_of_derived_ones_are_kept():
    """A randomised network has the parameters that were drawn, in float64 too."""
    graph = trace(norms(torch.float32), (3, 6, 6))
    other = randomised(graph, ["0"], "permute")
    for key in ("weight", "bias"):
        drawn = getattr(other.nodes["0"].op, key)
        assert torch.equal(getattr(other.to(dtype=torch.float64).nodes["0"].op, key), drawn.double())
    fresh = trace(nn.Sequential(*norms(torch.float32)[:3], nn.Flatten(), nn.Linear(108, 4)).eval(), (3, 6, 6))
    copied = randomised(graph, ["0"], "model", fresh=fresh)
    images = random_images(2, 3, 6, 6)
    torch.testing.assert_close(
        copied.to(dtype=torch.float64).nodes["0"].op.forward(images),
        fresh.to(dtype=torch.float64).nodes["0"].op.forward(images),
        rtol=0,
        atol=0,
    )


def test_parameters_that_are_the_models_own_are_shared():
    model = norms(torch.float32)
    graph = trace(model, (3, 6, 6))
    assert graph.nodes["4"].op.weight.data_ptr() == model[4].weight.data_ptr()
    assert not graph.nodes["0"].op.weight.requires_grad
    assert graph.nodes["0"].op.weight.dtype == torch.float32


class Caching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        self.kept = x
        return self.head(x)


def test_the_model_is_left_as_it_was():
    model = Caching().half()
    before = {name: id(t) for name, t in [*model.named_parameters(), *model.named_buffers()]}
    trace(model, (12,))
    assert {name: id(t) for name, t in [*model.named_parameters(), *model.named_buffers()]} == before
    assert float(model.calls) == 0
    assert not isinstance(getattr(model, "kept", None), Tensor)


def test_synchronised_batch_norms_in_evaluation_are_batch_norms():
    model = nn.SyncBatchNorm.convert_sync_batchnorm(norms(torch.float32))
    assert isinstance(model[1], nn.SyncBatchNorm)
    graph = trace(model, (3, 6, 6))
    assert isinstance(graph.nodes["1"].op, PassThrough)
    images = random_images(2, 3, 6, 6)
    torch.testing.assert_close(
        graph.to(dtype=torch.float64).forward(images), model.double()(images).detach(), rtol=1e-10, atol=1e-10
    )
    assert graph.resolve(INPUT) == INPUT


class Quiet(nn.Module):
    """What autograd does not see, a trace does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.stem(x)
        return self.head(x.relu().detach())


def test_no_grad_and_detach_are_passed():
    graph = trace(Quiet(), (4,))
    assert [name for name in graph.nodes if name in ("stem", "head")] == ["stem", "head"]


@pytest.mark.filterwarnings("ignore")
def test_exported_programs_are_refused_in_one_line():
    program = torch.export.export(nn.Sequential(nn.Linear(3, 2)), (torch.zeros(2, 3),)).module()
    with pytest.raises(UnsupportedLayerError) as caught:
        trace(program, (3,))
    assert "\n" not in str(caught.value)
    assert "exported" in str(caught.value)
