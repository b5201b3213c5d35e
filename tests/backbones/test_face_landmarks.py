"""Landmarks are found once and kept; a face is turned and cut so that they lie where they should."""

import builtins
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dmsrl_adapt import align_faces
from dmsrl_adapt.backbones import LocalWindows, face_landmarks
from dmsrl_adapt.backbones.local_windows import ALIGNED, LANDMARKS

module = sys.modules["dmsrl_adapt.backbones.face_landmarks"]  # the package has the function of that name
NONE = torch.full((1, 5, 2), float("nan"))


class Finder:
    """A stand-in for MTCNN: a face in every image that is not black, its landmarks told by the first pixel."""

    def __init__(self):
        self.count = 0

    def __call__(self, device):
        return self.find

    def find(self, image):
        self.count += 1
        first = int(image[0, 0, 0])
        return [[first / 256, 0.5]] * 5 if first else None


@pytest.fixture
def finder(monkeypatch):
    finder = Finder()
    monkeypatch.setattr(module, "mtcnn", finder)
    return finder


def grey(value, height=30, width=40):
    return torch.full((3, height, width), value, dtype=torch.uint8)


def test_landmarks_are_found_once_whatever_the_order_and_kept(finder, tmp_path):
    images = [grey(64), grey(0), grey(128, 50, 60)]
    found = face_landmarks(images, tmp_path / "new", shows_progress=False)
    assert found.shape == (3, 5, 2) and found.dtype == torch.float32
    assert found[0, 0].tolist() == [0.25, 0.5] and found[2, 4].tolist() == [0.5, 0.5]
    assert found[1].isnan().all()
    assert finder.count == 3
    again = face_landmarks(iter([images[2], grey(192), images[1], images[0]]), tmp_path / "new", shows_progress=False)
    assert finder.count == 4
    torch.testing.assert_close(again[[3, 2, 0]], found, equal_nan=True)
    assert again[1, 0, 0] == 0.75


def test_another_pixel_or_another_shape_is_another_image(finder, tmp_path):
    image, other = grey(64), grey(64)
    other[2, 29, 39] = 65
    face_landmarks([image, other, grey(64, 40, 30)], tmp_path, shows_progress=False)
    assert finder.count == 3


def test_an_interrupted_search_goes_on_with_the_next_image(finder, tmp_path, monkeypatch):
    def images():
        yield grey(64)
        yield grey(128)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        face_landmarks(images(), tmp_path, shows_progress=False)
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:-9])  # the last line is cut off
    found = face_landmarks([grey(64), grey(128), grey(192)], tmp_path, shows_progress=False)
    assert finder.count == 4
    assert found[:, 0, 0].tolist() == [0.25, 0.5, 0.75]
    assert torch.equal(face_landmarks([grey(192), grey(128)], tmp_path, shows_progress=False), found[[2, 1]])
    assert finder.count == 4


def test_what_is_known_needs_no_package_and_a_missing_one_is_named(finder, tmp_path, monkeypatch):
    face_landmarks([grey(64)], tmp_path, shows_progress=False)
    monkeypatch.undo()
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("facenet_pytorch"):
            raise ImportError("no module of that name")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert face_landmarks([grey(64)], tmp_path, shows_progress=False)[0, 0, 0] == 0.25
    with pytest.raises(ImportError, match="pip install --no-deps facenet-pytorch"):
        face_landmarks([grey(1)], tmp_path, shows_progress=False)


def test_no_images_give_no_landmarks_and_no_crops(finder, tmp_path):
    landmarks = face_landmarks([], tmp_path, shows_progress=False)
    assert landmarks.shape == (0, 5, 2)
    assert align_faces([], landmarks, 8).shape == (0, 3, 8, 8)


def face_with_dots(height, width, places):
    """A black image with a bright spot around each place, (x, y) in pixels."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    spots = [torch.exp(-((x - a) ** 2 + (y - b) ** 2) / 18) for a, b in places]
    return (255 * torch.stack(spots).amax(0)).byte().expand(3, -1, -1)


@pytest.mark.parametrize("turn", [0.0, 0.5, -2.0])
@pytest.mark.parametrize("length", [60, 150])
def test_landmarks_of_a_crop_lie_where_those_of_aligned_faces_do(turn, length):
    """Spots drawn at landmarks of a turned, scaled and shifted face come out at the places that `LocalWindows` has."""
    template = torch.tensor(ALIGNED) - 0.5
    cos, sin = np.cos(turn), np.sin(turn)
    places = length * template @ torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float32) + torch.tensor([110, 90])
    image = face_with_dots(180, 240, places.tolist())
    crop = align_faces([image], (places / torch.tensor([240, 180]))[None], 96)[0, 0].float()
    for x, y in (96 * torch.tensor(ALIGNED)).tolist():
        rows, columns = slice(round(y) - 7, round(y) + 7), slice(round(x) - 7, round(x) + 7)
        row, column = divmod(int(crop[rows, columns].argmax()), 14)
        assert abs(row + rows.start + 0.5 - y) < 1.6 and abs(column + columns.start + 0.5 - x) < 1.6
    assert crop.max() > 200


def test_a_large_face_is_smoothed_before_it_is_sampled():
    stripes = (255 * (torch.arange(800) // 2 % 2)).byte().expand(3, 800, 800)
    crop = align_faces([stripes], torch.tensor(ALIGNED)[None], 50)
    assert (crop.float() - 127.5).abs().max() < 30


def test_without_a_face_the_image_is_resized_as_a_whole():
    image = torch.zeros(3, 60, 90, dtype=torch.uint8)
    image[:, :, 45:] = 200
    crop = align_faces([image], NONE, 30)[0]
    assert crop[:, :, :13].max() == 0 and crop[:, :, 17:].min() == 200


def test_windows_of_a_crop_need_no_landmarks():
    landmarks = torch.rand(3, 5, 2) * 0.4 + 0.3
    crops = align_faces(torch.randint(256, (3, 3, 50, 60), dtype=torch.uint8), landmarks, 20).float()
    windows = LocalWindows("landmarks")
    given = windows(crops, torch.tensor(ALIGNED).expand(3, -1, -1))
    assert all(torch.equal(windows(crops)[name], given[name]) for name in LANDMARKS)


@pytest.mark.parametrize(
    ("images", "landmarks", "size", "error", "message"),
    [
        ([torch.zeros(3, 9, 9)], NONE, 8, ValueError, r"uint8 of shape \(3, H, W\), got torch.float32 of \(3, 9, 9\)"),
        ([grey(1)[:1]], NONE, 8, ValueError, r"got torch.uint8 of \(1, 30, 40\)"),
        ([grey(1)], 50 * torch.ones(1, 5, 2), 8, ValueError, "landmarks must be fractions of the image"),
        ([grey(1)], torch.ones(1, 4, 2), 8, ValueError, r"landmarks must have shape \(1, 5, 2\), got \(1, 4, 2\)"),
        ([grey(1)], torch.ones(1, 5, 2, dtype=torch.int64), 8, TypeError, "landmarks must be a floating point tensor"),
        ([grey(1)], NONE, 0, ValueError, "size must be at least 1, got 0"),
        ([grey(1)] * 2, NONE, 8, ValueError, "zip"),
    ],
)
def test_bad_input_is_one_clear_error(images, landmarks, size, error, message):
    with pytest.raises(error, match=message):
        align_faces(images, landmarks, size)


def test_images_of_another_type_are_refused_before_a_search(finder, tmp_path):
    with pytest.raises(ValueError, match="each image must be uint8"):
        face_landmarks([torch.zeros(3, 40, 40)], tmp_path, shows_progress=False)
    assert finder.count == 0


def test_mtcnn_finds_no_face_in_noise_and_none_in_a_tiny_image(tmp_path):
    pytest.importorskip("facenet_pytorch")
    images = [torch.randint(256, (3, 60, 80), dtype=torch.uint8), grey(90, 8, 8)]
    assert face_landmarks(images, tmp_path, shows_progress=False).isnan().all()


def test_mtcnn_finds_faces_and_turns_them_upright(tmp_path):
    pytest.importorskip("facenet_pytorch")
    folder = os.environ.get("DMSRL_ADAPT_DATA")
    if not folder:
        pytest.skip("DMSRL_ADAPT_DATA is not set")
    arrays = np.load(Path(folder) / "muxspace.npz")
    joined, offsets = arrays["jpeg_bytes"].tobytes(), arrays["offsets"]
    files = (
        Image.open(io.BytesIO(joined[offsets[row] : offsets[row + 1]])).convert("RGB") for row in range(0, 400, 40)
    )
    turned = [file.resize((160, 160)).rotate(15) for file in files]
    images = torch.stack([torch.as_tensor(np.array(image)).permute(2, 0, 1) for image in turned])
    landmarks = face_landmarks(images, tmp_path, shows_progress=False)
    is_found = ~landmarks.isnan().any(2).any(1)
    assert is_found.sum() >= 8
    eyes = landmarks[is_found][:, 1] - landmarks[is_found][:, 0]
    assert (eyes[:, 1] < -0.02).float().mean() > 0.8  # the right one in the image is higher
    upright = face_landmarks(align_faces(images, landmarks, 112), tmp_path, shows_progress=False)[is_found]
    upright = upright[~upright.isnan().any(2).any(1)]
    assert len(upright) >= 7
    assert (upright.mean(0) - torch.tensor(ALIGNED)).abs().max() < 0.05
