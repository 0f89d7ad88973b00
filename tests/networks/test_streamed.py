"""Many pictures are read as they are needed, the same as if all had been read at once."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from conetheory import networks
from conetheory.errors import InputError
from conetheory.networks.streamed import HELD, StreamedImages, stream_images


@pytest.fixture(scope="module")
def network():
    return networks.load("cifar10_cnn")


@pytest.fixture
def folder(tmp_path):
    for number in range(HELD + 1):
        Image.new("RGB", (9, 7), (number, 0, 99)).save(tmp_path / f"{number:02}.png")
    return tmp_path


def test_parts_are_what_all_of_them_are(network, folder):
    many, all_ = stream_images(folder, network), networks.load_images(folder, network)
    assert isinstance(many, StreamedImages)
    assert (len(many), many.names, many.labels, many.shape) == (65, all_.names, None, (3, 32, 32))
    numbers, some = many.part(63, 70)
    assert numbers == [63, 64]
    assert torch.equal(some, all_.tensor[63:])
    assert torch.equal(many.tensor, all_.tensor)
    assert type(stream_images(folder, network, HELD)) is type(all_)
    assert type(stream_images(None, network, 2)) is type(all_)


def test_a_broken_picture_keeps_its_number_and_is_told_of_once(network, folder):
    (folder / "03.png").write_bytes(b"no picture")
    told: list[str] = []
    many = stream_images(folder, network, told=told.append)
    for _ in range(2):
        assert many.part(2, 5)[0] == [2, 4]
        assert many.part(3, 4)[1].shape == (0, 3, 32, 32)
    assert len(told) == 1
    assert "03.png: is broken or no picture" in told[0]
    named = stream_images(sorted(folder.iterdir()), network)
    with pytest.raises(InputError, match=r"image .*03\.png: is broken"):
        named.part(3, 4)


def test_their_hash_is_of_the_files(network, folder):
    many = stream_images(folder, network)
    before = many.sha256(0, 3), many.sha256(3, 6)
    assert before[0] != before[1]
    (folder / "04.png").write_bytes((folder / "05.png").read_bytes())
    after = stream_images(folder, network)
    assert (after.sha256(0, 3) == before[0], after.sha256(3, 6) == before[1]) == (True, False)
    (folder / "04.png").unlink()
    with pytest.raises(InputError, match=r"image .*04\.png can't be read: No such file"):
        StreamedImages(many.entries, network).sha256(3, 6)
