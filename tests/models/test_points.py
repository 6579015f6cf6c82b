import torch

from ups.models.points import Points
from ups.streams import stream
from ups.types import line

LINE = line(12, 3.0, -1.0)


def test_phases_of_the_centres_are_those_of_their_points():
    grid = Points(LINE)
    points = -1 + 3 * (torch.arange(12) + 0.5) / 12
    torch.testing.assert_close(grid.phase(points), grid.centres)


def test_interpolation_at_the_centres_changes_nothing_and_is_periodic():
    grid = Points(LINE)
    frames = torch.randn(2, 1, 12, generator=stream(0, "frames"))
    points = (-1 + 3 * grid.centres).expand(2, -1)
    torch.testing.assert_close(grid.interpolate(frames, points), frames)
    torch.testing.assert_close(grid.interpolate(frames, points + 3), frames, rtol=1e-4, atol=1e-4)
