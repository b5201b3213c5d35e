"""Five landmarks of the face in an image, found once and kept on disk, and faces turned and cut by them."""

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
SMALLEST = 20  # side in pixels below which MTCNN, as it is set here, looks for no face
Points = list[list[float]]


def face_landmarks(
    images: Iterable[Tensor], folder: str | Path, device: str | torch.device = "cpu", shows_progress: bool = True
) -> Tensor:
    """Returns five landmarks of the largest face in each image, from a file in `folder` or found by MTCNN and kept there.

    They are what `LocalWindows` and, as `src_imgs_landmarks`, `LevelFeaturesHook` take: an image without a face is
    taken for an aligned crop there. The file is told by an image's pixels which landmarks are its own, so images may
    come in any order and number, from any data set; an interrupted search goes on with the next image. One process at a
    time may search. Needs facenet-pytorch, which has the weights in its package. It asks for an old torch, which it
    does not need; so install it by `pip install requests && pip install --no-deps facenet-pytorch`.

    Args:
        images: each uint8, shape (3, H, W), of sizes of their own; a batch (N, 3, H, W) will do.
        folder: made where it is missing.
        device: where MTCNN runs.
        shows_progress: print a progress bar to the error stream.

    Returns:
        landmarks: shape (N, 5, 2), float32, x and y of both eyes, nose and both corners of the mouth, the left ones in
            the image first, in shares of width and height; NaN for an image without a face.

    Raises:
        ValueError: an image of another shape or type.
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
                # a line that an interruption cut off ends here
                file.write(f"\n{json.dumps([name, known[name]])}")
                file.flush()
            found.append(known[name] or [[float("nan")] * 2] * len(LANDMARKS))
    return torch.tensor(found, dtype=torch.float32).reshape(-1, len(LANDMARKS), 2)


def align_faces(images: Iterable[Tensor], landmarks: Tensor, size: int) -> Tensor:
    """Returns faces turned, scaled and cut so that their landmarks lie, as nearly as possible, where ArcFace has them.

    Windows around landmarks need no landmarks for such crops. An image without a face is resized as a whole. What is
    outside of an image is black.

    Args:
        images: each uint8, shape (3, H, W), of sizes of their own; a batch (N, 3, H, W) will do.
        landmarks: shape (N, 5, 2), as `face_landmarks` gives them.
        size: side of the crops in pixels, 112 for networks that were trained on such.

    Returns:
        crops: shape (N, 3, size, size), uint8.

    Raises:
        ValueError: an image of another shape or type, landmarks of another shape or number or in pixels, or a size
            below 1.
        TypeError: landmarks that are no floating point tensor.

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
    factor, shift = similarity(torch.tensor(ALIGNED), points.float().cpu() * sides)
    # of a large face the image is made smaller first, for a crop picks single pixels
    if (scale := size / float(factor.abs())) < 1:
        small = [max(1, round(side * scale)) for side in image.shape[1:]]
        pixels = F.interpolate(pixels, small, mode="bilinear", antialias=True)
    middles = (torch.arange(size) + 0.5) / size
    places = factor * torch.complex(*torch.meshgrid(middles, middles, indexing="xy")) + shift
    grid = 2 * torch.view_as_real(places) / sides - 1  # from -1 to 1 over the image, edge to edge
    crop = F.grid_sample(pixels, grid[None].to(pixels.device), align_corners=False)
    return crop[0].round().clamp(0, 255).byte()


def similarity(sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the complex a and b of z -> a z + b, a turn, a scale and a shift, by least squares from points to points.

    Args:
        sources: shape (N, 2), x and y.
        targets: shape (N, 2).
    """
    z, w = (torch.complex(*points.T) for points in (sources, targets))
    around = z - z.mean()
    factor = (around.conj() * w).sum() / around.abs().square().sum()
    return factor, w.mean() - factor * z.mean()


def mtcnn(device: str | torch.device) -> Callable[[Tensor], Points | None]:
    """Returns what finds the landmarks of the largest face in an image (3, H, W), None where there is no face."""
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
    """Returns the landmarks in a file by their images' fingerprints; a line that was cut off counts for nothing."""
    known = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            name, points = json.loads(line)
        except ValueError:
            continue
        known[name] = points
    return known


def fingerprint(image: Tensor) -> str:
    """Returns a text that depends on every pixel."""
    data = f"{tuple(image.shape)}".encode() + image.cpu().contiguous().numpy().tobytes()
    return hashlib.sha256(data).hexdigest()[:24]


def checked(images: Iterable[Tensor]) -> Iterator[Tensor]:
    """Passes images on. Raises `ValueError` at one that is not uint8 of shape (3, H, W)."""
    for image in images:
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or not image.numel():
            raise ValueError(f"each image must be uint8 of shape (3, H, W), got {image.dtype} of {tuple(image.shape)}")
        yield image
