"""Pictures of every kind become what the network takes, or are refused with one clear line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from conetheory.errors import InputError
from conetheory.networks import bundled_images, load, load_images
from conetheory.networks.preprocess import to_rgb


@pytest.fixture(scope="module")
def network():
    """Takes (3, 32, 32) in [0, 1], so that pixels can be compared as they are."""
    return load("cifar10")


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def pixels(images) -> np.ndarray:
    return images.tensor.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def refusal(*args, **kwargs) -> str:
    with pytest.raises(InputError) as caught:
        load_images(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_picture_as_it_is(tmp_path, network, colours):
    Image.fromarray(colours).save(path := tmp_path / "a.png")
    for given in (path, str(path), [path]):
        images = load_images(given, network)
        assert images.tensor.dtype == torch.float32
        assert images.names == ("a.png",)
        assert (images.labels, images.skipped, len(images)) == (None, (), 1)
        np.testing.assert_array_equal(pixels(images)[0], colours)


def grey(colours: np.ndarray) -> np.ndarray:
    return np.repeat(colours[:, :, :1], 3, axis=2)


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colours * share + 255 * (1 - share)


def with_alpha(colours: np.ndarray) -> np.ndarray:
    return np.dstack([colours, colours[:, :, 0]])


def modes(colours: np.ndarray) -> dict[str, tuple[Image.Image, str, np.ndarray]]:
    """A picture, the suffix to store it with, and the RGB values expected of it."""
    first = colours[:, :, 0]
    wide = first.astype(np.uint16) * 257
    palette = Image.fromarray(colours).quantize(64)
    seen = np.asarray(palette.convert("RGB"))
    layers = [Image.fromarray(first), Image.fromarray(colours[:, :, 1].copy())]
    return {
        "grey": (Image.fromarray(first), "png", grey(colours)),
        "bilevel": (Image.fromarray(first > 127), "png", grey(np.where(colours > 127, 255, 0))),
        "16 bits": (Image.fromarray(wide), "png", grey(colours)),
        "32-bit integers": (Image.fromarray(wide.astype(np.int32)), "tif", grey(colours)),
        "floats to 1": (Image.fromarray((first / 255).astype(np.float32)), "tif", grey(colours)),
        "floats to 255": (Image.fromarray(first.astype(np.float32)), "tif", grey(colours)),
        "RGBA": (Image.fromarray(with_alpha(colours)), "png", over_white(colours, first)),
        "grey with alpha": (Image.merge("LA", layers), "png", over_white(grey(colours), colours[:, :, 1])),
        "palette": (palette, "png", seen),
        "CMYK": (Image.fromarray(colours).convert("CMYK"), "tif", colours),
        "first frame": (palette, "gif", seen),
        "YCbCr": (Image.fromarray(colours).convert("YCbCr"), "tif", colours),
    }


@pytest.mark.parametrize("mode", modes(np.zeros((2, 2, 3), np.uint8)))
def test_modes(tmp_path, network, colours, mode):
    image, suffix, expected = modes(colours)[mode]
    image.save(path := tmp_path / f"a.{suffix}")
    got = pixels(load_images(path, network))[0]
    assert np.abs(got - expected.astype(float)).max() <= 3  # YCbCr rounds


def test_transparent_palette(tmp_path, network, colours):
    image = Image.fromarray(colours).quantize(16)
    image.info["transparency"] = 3
    image.save(path := tmp_path / "a.png", transparency=3)
    hidden = np.asarray(image) == 3
    assert hidden.any()
    assert (pixels(load_images(path, network))[0][hidden] == 255).all()


def test_grey_values_out_of_range(tmp_path, network):
    Image.fromarray(np.full((8, 8), -1, np.int32)).save(path := tmp_path / "a.tif")
    assert refusal(path, network) == (f"image {path}: grey values from -1 to -1 are neither 8-bit nor 16-bit")


def test_rgb_is_not_copied(colours):
    image = Image.fromarray(colours)
    assert to_rgb(image) is image


def test_exif_orientation(tmp_path, network, colours):
    image = Image.fromarray(colours)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(path := tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(pixels(load_images(path, network))[0], np.rot90(colours, -1))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 40), (1000, 700)])
def test_any_size(tmp_path, network, size):
    Image.new("RGB", size, (10, 200, 30)).save(path := tmp_path / "a.png")
    images = load_images(path, network)
    assert images.tensor.shape == (1, 3, 32, 32)
    assert (pixels(images)[0] == [10, 200, 30]).all()


def test_folders_are_read_recursively_and_sorted(tmp_path, network, colours):
    for name in ("b.png", "a.JPG", "deep/er/c.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colours).save(tmp_path / name, format="PNG")
    images = load_images(tmp_path, network)
    assert images.names == ("a.JPG", "b.png", "deep/er/c.png")
    assert images.labels is None
    both = load_images([tmp_path / "deep", tmp_path / "b.png"], network)
    assert both.names == ("er/c.png", "b.png")


def write_tree(root, folders, count=2):
    for k, folder in enumerate(folders):
        for i in range(count):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (k, i, 0)).save(root / folder / f"{i}.png")


def test_labels_by_class_name(tmp_path, network):
    write_tree(tmp_path, ["ship", "Cat", "dog"])
    images = load_images(tmp_path, network)
    assert images.names == ("Cat/0.png", "Cat/1.png", "dog/0.png", "dog/1.png", "ship/0.png", "ship/1.png")
    assert images.labels == (3, 3, 5, 5, 8, 8)


def test_labels_by_number_and_by_order(tmp_path, network):
    write_tree(tmp_path / "numbers", ["3", "007"])
    assert load_images(tmp_path / "numbers", network).labels == (7, 7, 3, 3)
    write_tree(tmp_path / "order", [f"n{k:03}" for k in range(10)], count=1)
    assert load_images(tmp_path / "order", network).labels == tuple(range(10))


def test_no_labels_where_the_folders_do_not_say(tmp_path, network):
    write_tree(tmp_path / "a", ["ship", "banana"])
    assert load_images(tmp_path / "a", network).labels is None
    write_tree(tmp_path / "b", ["ship", "cat"])
    Image.new("RGB", (32, 32)).save(tmp_path / "b" / "loose.png")
    assert load_images(tmp_path / "b", network).labels is None


def test_limit_and_seed(tmp_path, network):
    write_tree(tmp_path, ["cat", "dog", "ship"], count=4)
    assert load_images(tmp_path, network, limit=2).names == ("cat/0.png", "cat/1.png")
    some = load_images(tmp_path, network, limit=5, seed=1)
    assert some.names == tuple(sorted(set(some.names)))
    assert len(some) == 5
    assert load_images(tmp_path, network, limit=5, seed=1).names == some.names
    assert any(load_images(tmp_path, network, limit=5, seed=s).names != some.names for s in (2, 3))
    assert len(load_images(tmp_path, network, limit=99)) == 12
    assert refusal(tmp_path, network, limit=0) == "the limit of images must be at least 1, not 0"
    whole = load_images(tmp_path, network)
    index = [whole.names.index(name) for name in some.names]
    assert torch.equal(some.tensor, whole.tensor[index])
    assert some.labels == tuple(whole.labels[i] for i in index)


def broken_files(folder, colours) -> list[str]:
    Image.fromarray(colours).save(folder / "whole.png")
    content = (folder / "whole.png").read_bytes()
    files = {"cut.png": content[:1500], "empty.png": b"", "text.jpg": b"not a picture", "head.gif": b"GIF89a"}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return sorted(files)


def test_broken_pictures_in_a_folder_are_skipped_and_listed(tmp_path, network, colours):
    names = broken_files(tmp_path, colours)
    images = load_images(tmp_path, network)
    assert images.names == ("whole.png",)
    assert [path for path, _ in images.skipped] == [str(tmp_path / name) for name in names]
    assert all(reason.startswith("is broken or no picture (") for _, reason in images.skipped)
    assert load_images(tmp_path, network, limit=1).names == ("whole.png",)  # broken ones don't count


def test_a_broken_picture_named_itself_is_an_error(tmp_path, network, colours):
    for name in broken_files(tmp_path, colours):
        path = tmp_path / name
        assert refusal(path, network).startswith(f"image {path}: is broken or no picture (")
        assert refusal([tmp_path / "whole.png", path], network).startswith(f"image {path}: ")


def test_nothing_to_read(tmp_path, network):
    assert refusal(tmp_path / "no.png", network) == f"image {tmp_path / 'no.png'} does not exist"
    assert refusal(tmp_path, network).startswith(f"folder {tmp_path} holds no images (.bmp, ")
    assert refusal([], network) == "no images were given"
    (tmp_path / "a.png").write_bytes(b"")
    assert refusal(tmp_path, network).startswith(
        f"none of the 1 images could be read; {tmp_path / 'a.png'}: is broken or no picture ("
    )


def test_bundled_photographs(network):
    images = bundled_images(network)
    assert images.names[:4] == ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg")
    assert images.tensor.shape == (len(images.names), 3, 32, 32)
    assert images.tensor.std((1, 2, 3)).min() > 0.02
    assert torch.equal(bundled_images(network, limit=2).tensor, images.tensor[:2])
    assert load_images(None, network, limit=2, seed=3).names == images.names[:2]
    logits = network.graph.forward(images.tensor)
    assert network.classes[int(logits[0].argmax())] == "cat"  # chelsea
