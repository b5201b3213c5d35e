"""Face landmarks by MTCNN, cached on disk, and alignment of faces by them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ..checks import check_sizes
from .local_windows import ALIGNED, LANDMARKS, check_landmarks

INSTALL = "pip install requests && pip install --no-deps facenet-pytorch"
SMALLEST = 20  # minimum side of a face in pixels
Points = list[list[float]]


def face_landmarks(
    images: Iterable[Tensor], folder: str | Path, device: str | torch.device = "cpu", shows_progress: bool = True
) -> Tensor:
    """Returns five landmarks of the largest face in each image, by MTCNN, cached in a file in `folder`.

    The landmarks are for `LocalWindows` and, as `src_imgs_landmarks`, for `LevelFeaturesHook`, which treat an image
    without a face as an aligned crop. Landmarks are stored by a hash of the pixels, so images of any data set can come
    in any order, and an interrupted search can be resumed. Only one process may write to a folder at a time.

    It needs facenet-pytorch, whose package includes the weights. Install it by
    `pip install requests && pip install --no-deps facenet-pytorch`, because it requires an old version of torch without
    need.

    Args:
        images: each uint8, shape (3, H, W), of any size; a batch (N, 3, H, W) is accepted.
        folder: created if missing.
        device: device of MTCNN.
        shows_progress: print a progress bar to stderr.

    Returns:
        landmarks: shape (N, 5, 2), float32, x and y as fractions of width and height, of both eyes, nose and both
            corners of the mouth, the left ones in the image first; NaN for an image without a face.

    Raises:
        ValueError: an image of wrong shape or dtype.
        ImportError: facenet-pytorch is missing and an image is not in the file.

    Reference:
        Zhang et al., IEEE Signal Processing Letters, 2016, doi 10.1109/lsp.2016.2603342.
    """
    path, found = Path(folder) / "face-landmarks-mtcnn.jsonl", []
    path.parent.mkdir(parents=True, exist_ok=True)
    known, detect = read_known(path), None
    with path.open("a", encoding="utf-8") as file:
        for image in checked(tqdm(images, desc="face landmarks", disable=not shows_progress)):
            if (name := fingerprint(image)) not in known:
                detect = detect or mtcnn(device)
                known[name] = detect(image)
                # the newline ends a line that an interruption has cut off
                file.write(f"\n{json.dumps([name, known[name]])}")
                file.flush()
            found.append(known[name] or [[float("nan")] * 2] * len(LANDMARKS))
    return torch.tensor(found, dtype=torch.float32).reshape(-1, len(LANDMARKS), 2)


def align_faces(images: Iterable[Tensor], landmarks: Tensor, size: int) -> Tensor:
    """Returns faces aligned as for ArcFace: rotated, scaled and cropped by a least squares fit of their landmarks.

    Such crops need no landmarks for windows around landmarks. An image without a face is resized as a whole. Areas
    outside the image are black.

    Args:
        images: each uint8, shape (3, H, W), of any size; a batch (N, 3, H, W) is accepted.
        landmarks: shape (N, 5, 2), as returned by `face_landmarks`.
        size: side of the crops in pixels, 112 for networks trained on ArcFace crops.

    Returns:
        crops: shape (N, 3, size, size), uint8.

    Raises:
        ValueError: an image of wrong shape or dtype, landmarks of wrong shape or in pixels, another number of landmarks
            than images, or a size below 1.
        TypeError: landmarks that are not a floating point tensor.

    Examples:
        >>> align_faces(torch.zeros(2, 3, 90, 70, dtype=torch.uint8), torch.full((2, 5, 2), float("nan")), 48).shape
        torch.Size([2, 3, 48, 48])
    """
    check_sizes(size=size)
    check_landmarks(landmarks, len(landmarks))
    crops = [aligned(image, points, size) for image, points in zip(checked(images), landmarks, strict=True)]
    return torch.stack(crops) if crops else torch.zeros(0, 3, size, size, dtype=torch.uint8)


def aligned(image: Tensor, points: Tensor, size: int) -> Tensor:
    """Returns one crop, uint8 (3, size, size), of an image (3, H, W) with landmarks (5, 2)."""
    pixels = image[None].float()
    if points.isnan().any():
        whole = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
        return whole[0].round().clamp(0, 255).byte()
    sides = torch.tensor([image.shape[2], image.shape[1]])
    factor, shift = similarity(torch.tensor(ALIGNED, dtype=torch.float32), points.float().cpu() * sides)
    # the image of a large face is downscaled first, because sampling uses single pixels
    if (scale := size / float(factor.abs())) < 1:
        small = [max(1, round(side * scale)) for side in image.shape[1:]]
        pixels = F.interpolate(pixels, small, mode="bilinear", antialias=True)
    middles = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    places = factor * torch.complex(*torch.meshgrid(middles, middles, indexing="xy")) + shift
    grid = 2 * torch.view_as_real(places) / sides - 1  # from -1 to 1 over the image, edge to edge
    crop = F.grid_sample(pixels, grid[None].to(pixels.device), align_corners=False)
    return crop[0].round().clamp(0, 255).byte()


def similarity(sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Returns complex a and b of the similarity transform z -> a z + b, by least squares from source to target points.

    Args:
        sources: shape (N, 2), x and y.
        targets: shape (N, 2).
    """
    z, w = (torch.complex(*points.T) for points in (sources, targets))
    around = z - z.mean()
    factor = (around.conj() * w).sum() / around.abs().square().sum()
    return factor, w.mean() - factor * z.mean()


def mtcnn(device: str | torch.device) -> Callable[[Tensor], Points | None]:
    """Returns a function from an image (3, H, W) to the landmarks of its largest face, or None without a face."""
    try:
        from facenet_pytorch import MTCNN
    except ImportError as error:
        raise ImportError(f"face landmarks need facenet-pytorch: `{INSTALL}` ({error})") from error
    detector = MTCNN(min_face_size=SMALLEST, device=torch.device(device))

    def detect(image: Tensor) -> Points | None:
        if min(image.shape[1:]) < SMALLEST:
            return None
        _, _, points = detector.detect(image.permute(1, 2, 0)[None].cpu().numpy(), landmarks=True)
        if points[0] is None:
            return None
        sides = (image.shape[2], image.shape[1])
        return [[round(float(x) / sides[0], 5), round(float(y) / sides[1], 5)] for x, y in points[0][0]]

    return detect


def read_known(path: Path) -> dict[str, Points | None]:
    """Returns the landmarks in a file by fingerprint of the image; incomplete lines are ignored."""
    known = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            name, points = json.loads(line)
        except ValueError:
            continue
        known[name] = points
    return known


def fingerprint(image: Tensor) -> str:
    """Returns a hash of shape and pixels."""
    data = f"{tuple(image.shape)}".encode() + image.cpu().contiguous().numpy().tobytes()
    return hashlib.sha256(data).hexdigest()[:24]


def checked(images: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yields the images. Raises `ValueError` for one that is not uint8 of shape (3, H, W)."""
    for image in images:
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or not image.numel():
            raise ValueError(f"each image must be uint8 of shape (3, H, W), got {image.dtype} of {tuple(image.shape)}")
        yield image
