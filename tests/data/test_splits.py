from dataclasses import replace

import pytest
import torch
from data_files import FIELDS, STRIDED, STRIDED_OTHER_NU, needs_real, trajectory

from ups.data.pdebench import PDEBench
from ups.data.splits import assert_disjoint, initial_hashes, split
from ups.streams import stream
from ups.types import Trajectory, UserError


def parts(splits):
    return splits.train, splits.validation, splits.test


def test_every_trajectory_is_in_one_part_and_the_parts_have_their_sizes():
    data = trajectory(num=200)
    splits = split(data)
    assert [len(part) for part in parts(splits)] == [170, 10, 20]
    hashes = [initial for part in parts(splits) for initial in initial_hashes(part.values)]
    assert sorted(hashes) == sorted(initial_hashes(data.values))


def test_planted_duplicates_land_in_one_part_whatever_their_params():
    data = trajectory(num=60)
    again = replace(data, values=data.values.clone(), params=torch.full((60, 1), 0.5))
    again.values[:, 1:] *= 0.9
    both = Trajectory(torch.cat([data.values, again.values]), torch.cat([data.params, again.params]), FIELDS)
    splits = split(both)
    assert sum(len(part) for part in parts(splits)) == 120
    for part in parts(splits):
        first = set(initial_hashes(part.select((part.params[:, 0] < 0.1).nonzero()[:, 0]).values))
        second = set(initial_hashes(part.select((part.params[:, 0] > 0.1).nonzero()[:, 0]).values))
        assert first == second


def test_the_part_does_not_depend_on_the_position_in_the_file():
    data = trajectory(num=100)
    shuffled = data.select(torch.randperm(100, generator=stream(0, "order")))
    for one, two in zip(parts(split(data)), parts(split(shuffled)), strict=True):
        assert set(initial_hashes(one.values)) == set(initial_hashes(two.values))


def test_a_negative_zero_is_a_zero():
    values = torch.zeros(2, 1, 1, 8)
    values[1] = -0.0
    assert len(set(initial_hashes(values))) == 1
    assert torch.signbit(values[1]).all()  # the caller's data stay as they are


def test_the_digest_follows_values_params_and_fields():
    data = trajectory(num=30)
    later = data.values.clone()
    later[3, -1, 0, 2] += 1e-3
    changed = [
        replace(data, values=later),
        replace(data, params=data.params * 2),
        replace(data, fields=replace(FIELDS, dt=0.3)),
    ]
    digests = {split(one).digest for one in (data, *changed)}
    assert len(digests) == 4
    assert split(trajectory(num=30)).digest == split(data).digest
    assert split(data, test_fraction=0.3).digest != split(data).digest


def test_three_initial_conditions_are_the_least():
    assert [len(part) for part in parts(split(trajectory(num=3)))] == [1, 1, 1]
    for few in (
        trajectory(num=2),
        trajectory(num=1),
        trajectory(num=2).select(torch.tensor([0, 1, 0, 1, 1])),
    ):
        with pytest.raises(UserError, match="distinct initial conditions cannot be split"):
            split(few)


def test_an_overlap_of_parts_is_an_error_that_says_where():
    data = trajectory(num=10)
    assert_disjoint({"training": data.select(slice(0, 5)), "test": data.select(slice(5, 10))})
    with pytest.raises(UserError, match="test trajectory 0 begins like training trajectory 4"):
        assert_disjoint({"training": data.select(slice(0, 7)), "test": data.select(slice(4, 10))})


@needs_real
def test_two_viscosities_of_pdebench_with_equal_initial_conditions_are_split_alike():
    files = STRIDED, STRIDED_OTHER_NU
    splits = [split(PDEBench(file=file, num_trajectories=128).load()) for file in files]
    for one, two in zip(*map(parts, splits), strict=True):
        assert initial_hashes(one.values) == initial_hashes(two.values)
    joint = split(PDEBench(file=files, num_trajectories=128).load())
    assert len(joint.test) == 2 * len(splits[0].test)
    assert set(initial_hashes(joint.test.values)) == set(initial_hashes(splits[0].test.values))


def test_copies_in_disguise_stay_together_and_change_nothing_for_the_others():
    data = trajectory(num=60)
    disguises = [data.values.roll(3, -1), data.values.flip(-1), data.values * (1 + 1e-6)]
    every = [data.values, *disguises]
    for order in (every, every[::-1]):
        both = Trajectory(torch.cat(order), torch.arange(60.0)[:, None].repeat(4, 1), FIELDS)
        splits = split(both)
        assert sum(len(part) for part in parts(splits)) == 240
        families = [set(part.params[:, 0].tolist()) for part in parts(splits)]
        assert [len(part) for part in parts(splits)] == [4 * len(family) for family in families]
        assert not families[0] & families[1]
        assert not families[0] & families[2]


def test_families_of_too_few_are_split_like_any_other_data():
    x = torch.arange(16) / 16 * 2 * torch.pi
    waves = torch.sin(x + torch.linspace(0, 6, 40)[:, None])[:, None, None].expand(40, 5, 1, 16)
    splits = split(Trajectory(waves.contiguous(), torch.full((40, 1), 0.1), FIELDS))
    assert [len(part) for part in parts(splits)] == [34, 2, 4]
