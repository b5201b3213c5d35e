import math

import pytest
import torch

from dmsrl_adapt.backbones import LocalWindows
from dmsrl_adapt.backbones.local_windows import (
    ALIGNED,
    CORNERS,
    LANDMARKS,
    corner_windows,
    grid_windows,
    landmark_windows,
)


def cells(side):
    """A map whose cells hold their own number, row by row."""
    return torch.arange(float(side * side)).view(1, 1, side, side)


def test_windows_of_7_by_7_are_5_by_5_at_the_corners_and_overlap():
    windows = corner_windows(cells(7), 5 / 7)
    assert list(windows) == list(CORNERS)
    assert {tuple(window.shape) for window in windows.values()} == {(1, 1, 5, 5)}
    found = {name: window[0, 0].tolist() for name, window in windows.items()}
    # first and last cell of each; a cell is 7 * row + column
    ends = {name: (rows[0][0], rows[-1][-1]) for name, rows in found.items()}
    assert ends == {"top_left": (0, 32), "top_right": (2, 34), "bottom_left": (14, 46), "bottom_right": (16, 48)}
    common = set.intersection(*({cell for row in rows for cell in row} for rows in found.values()))
    assert common == {7.0 * row + column for row in (2, 3, 4) for column in (2, 3, 4)}


@pytest.mark.parametrize(
    ("shape", "share", "window"),
    [((7, 7), 1.0, (7, 7)), ((4, 8), 0.5, (2, 4)), ((1, 1), 5 / 7, (1, 1)), ((3, 3), 0.1, (1, 1))],
)
def test_corner_window_sizes(shape, share, window):
    for part in corner_windows(torch.zeros(2, 3, *shape), share).values():
        assert part.shape == (2, 3, *window)


@pytest.mark.parametrize(("side", "do_overlap"), [(2, False), (3, True), (4, True), (7, True)])
def test_windows_of_the_paper_overlap_from_3_by_3_on(side, do_overlap):
    found = [cell for window in corner_windows(cells(side), 5 / 7).values() for cell in window.flatten().tolist()]
    assert (len(set(found)) < len(found)) == do_overlap


@pytest.mark.parametrize(
    ("side", "rows", "columns"), [(6, 2, 3), (7, 2, 2), (7, 3, 3), (5, 4, 1), (2, 3, 3), (1, 2, 2)]
)
def test_grid_is_that_of_adaptive_pooling(side, rows, columns):
    maps = torch.randn(2, 3, side, side)
    windows = grid_windows(maps, rows, columns)
    assert list(windows) == [f"window_{r}_{c}" for r in range(rows) for c in range(columns)]
    means = torch.stack([window.mean((2, 3)) for window in windows.values()], dim=2)
    torch.testing.assert_close(means, torch.nn.functional.adaptive_avg_pool2d(maps, (rows, columns)).flatten(2))


def test_grid_that_divides_the_map_takes_every_cell_once():
    windows = grid_windows(cells(6), 2, 3)
    assert windows["window_0_2"][0, 0].tolist() == [[4.0, 5.0], [10.0, 11.0], [16.0, 17.0]]
    assert (
        sorted(cell for window in windows.values() for cell in window.flatten().tolist()) == cells(6).flatten().tolist()
    )


def interpolated(one, x, y):
    """Value of one map at a place in cells, where a cell's value stands in its middle and the border goes on."""
    height, width = one.shape
    x, y = min(max(x - 0.5, 0.0), width - 1.0), min(max(y - 0.5, 0.0), height - 1.0)
    left, top = min(math.floor(x), width - 1), min(math.floor(y), height - 1)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    across, down = x - left, y - top
    upper = (1 - across) * one[top, left] + across * one[top, right]
    lower = (1 - across) * one[bottom, left] + across * one[bottom, right]
    return (1 - down) * upper + down * lower


def slow_landmark_window(one, landmark, share):
    """Every cell of a window is the map's value in the middle of that cell."""
    height, width = one.shape
    x, y = (min(max(value, share / 2), 1 - share / 2) for value in landmark)
    rows, columns = max(1, round(height * share)), max(1, round(width * share))
    step_y, step_x = share * height / rows, share * width / columns
    start_y, start_x = (y - share / 2) * height, (x - share / 2) * width
    window = torch.zeros(rows, columns)
    for r in range(rows):
        for c in range(columns):
            window[r, c] = interpolated(one, start_x + (c + 0.5) * step_x, start_y + (r + 0.5) * step_y)
    return window


@pytest.mark.parametrize(("shape", "share"), [((7, 7), 0.4), ((6, 9), 0.5), ((2, 2), 0.4), ((4, 4), 1.0)])
def test_landmark_windows_equal_a_slow_loop(shape, share):
    maps = torch.randn(2, 3, *shape)
    landmarks = torch.rand(2, 5, 2)
    windows = landmark_windows(maps, landmarks, share)
    assert list(windows) == list(LANDMARKS)
    for number, window in enumerate(windows.values()):
        for i in range(2):
            for c in range(3):
                expected = slow_landmark_window(maps[i, c], landmarks[i, number].tolist(), share)
                torch.testing.assert_close(window[i, c], expected, atol=1e-5, rtol=1e-5)


def test_landmark_window_by_hand():
    # around the middle of cell (3, 2) of a map that rises evenly, so that the mean is that cell's value
    landmarks = torch.tensor([2.5 / 7, 3.5 / 7]).expand(1, 5, 2)
    window = landmark_windows(cells(7), landmarks, 3 / 7)["nose"]
    assert window.shape == (1, 1, 3, 3)
    torch.testing.assert_close(window[0, 0], cells(7)[0, 0, 2:5, 1:4])


@pytest.mark.parametrize("landmark", [(0.0, 0.0), (-3.0, 0.1), (0.2, -0.5)])
def test_a_window_beyond_the_edge_is_moved_into_the_map(landmark):
    windows = landmark_windows(cells(4), torch.tensor(landmark).expand(1, 5, 2), 0.5)
    corner = landmark_windows(cells(4), torch.tensor([0.25, 0.25]).expand(1, 5, 2), 0.5)
    torch.testing.assert_close(windows["nose"], corner["nose"])


def test_landmarks_of_each_image_are_its_own():
    maps = cells(8).expand(2, -1, -1, -1)
    landmarks = torch.stack([torch.full((5, 2), 0.3), torch.full((5, 2), 0.7)])
    together = LocalWindows("landmarks")(maps, landmarks)["left_eye"]
    apart = [LocalWindows("landmarks")(maps[:1], of_one[None])["left_eye"] for of_one in landmarks]
    torch.testing.assert_close(together, torch.cat(apart))
    assert together[1].mean() > together[0].mean()


def test_images_without_landmarks_are_taken_for_aligned_crops():
    maps, layer = torch.randn(3, 2, 6, 6), LocalWindows("landmarks")
    aligned = torch.tensor(ALIGNED).expand(3, -1, -1)
    landmarks = aligned.clone()
    landmarks[1, 3, 0] = torch.nan
    landmarks[2] = 0.5
    usual, some = layer(maps), layer(maps, landmarks)
    for name, window in layer(maps, aligned).items():
        torch.testing.assert_close(usual[name], window)
        torch.testing.assert_close(some[name][:2], window[:2])
        assert not torch.allclose(some[name][2], window[2])


def test_aligned_face_has_its_parts_where_they_belong():
    left_eye, right_eye, nose, left_mouth, right_mouth = ALIGNED
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    assert left_eye[1] == pytest.approx(right_eye[1], abs=0.01)


def test_gradient_reaches_the_map_inside_a_window_alone():
    maps = torch.randn(1, 1, 8, 8, requires_grad=True)
    landmark_windows(maps, torch.full((1, 5, 2), 0.25), 0.25)["nose"].sum().backward()
    assert maps.grad[0, 0, :3, :3].abs().sum() > 0
    assert maps.grad[0, 0, 4:].abs().sum() == maps.grad[0, 0, :, 4:].abs().sum() == 0


def test_landmark_windows_run_in_float32_under_autocast_and_keep_the_type():
    maps = torch.randn(1, 2, 4, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        window = LocalWindows("landmarks")(maps)["nose"]
    assert window.dtype == torch.bfloat16
    torch.testing.assert_close(window, LocalWindows("landmarks")(maps.float())["nose"].bfloat16())


@pytest.mark.parametrize(("local", "window"), [("corners", 5 / 7), ("landmarks", 2 / 5)])
def test_default_window(local, window):
    assert LocalWindows(local).window == window
    assert LocalWindows(local, 0.3).window == 0.3


@pytest.mark.parametrize("local", ["corners", "landmarks", (2, 3)])
def test_names_are_known_before_the_first_call_and_nothing_is_saved(local):
    layer = LocalWindows(local)
    assert layer.names == tuple(layer(torch.zeros(2, 3, 5, 5)))
    assert layer.state_dict() == {}
    assert list(layer.parameters()) == []


def test_an_empty_batch_stays_empty():
    for local in ("corners", "landmarks", (2, 3)):
        assert all(len(window) == 0 for window in LocalWindows(local)(torch.zeros(0, 3, 5, 5)).values())


@pytest.mark.parametrize("local", ["grid", (0, 2), (2,), (2, 2.0), 3, [2, 2]])
def test_unknown_local_is_named(local):
    with pytest.raises(ValueError, match=r"local must be 'corners', 'landmarks', \(rows, columns\) or None, got"):
        LocalWindows(local)


@pytest.mark.parametrize("window", [0.0, -0.1, 1.5])
def test_window_out_of_range_is_refused(window):
    with pytest.raises(ValueError, match=f"window must be above 0 and at most 1, got {window}"):
        LocalWindows("corners", window)


@pytest.mark.parametrize("shape", [(2, 4, 2), (3, 5, 2), (5, 2), (2, 5, 3)])
def test_landmarks_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"landmarks must have shape \(2, 5, 2\), got \("):
        LocalWindows("landmarks")(torch.zeros(2, 1, 4, 4), torch.zeros(shape))
