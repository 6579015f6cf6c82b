import pytest
import torch

from lines import on_its_grid, on_line
from ups.evaluation.ladder import Rung
from ups.evaluation.outcomes import compare_outcomes, outcome, sampling_distance, shares
from ups.models.baselines import Persistence
from ups.streams import stream

FIELDS = on_line(("u",), ("1",), 1.0, 100.0, params=("nu",), cells=8)


class Coin:
    """Ends at 1 with the probability that stands in the parameters, else at -1."""

    num_context = 1

    def encode(self, context, params):
        return context[:, -1], params

    def advance(self, state, generator=None):
        frame, params = state
        rises = torch.rand(params.shape, generator=generator) < params
        return torch.where(rises[..., None], 1.0, -1.0).expand_as(frame), params

    def decode(self, state):
        return state[0]


def flips(probability, num=100):
    params = torch.tensor(probability).repeat_interleave(num)[:, None]
    coin = Coin()
    ends, _ = coin.advance((torch.zeros(len(params), 1, 4), params), stream(0, "truth"))
    return on_its_grid(torch.stack([torch.zeros_like(ends), ends], 1), params, FIELDS)


def test_an_outcome_is_one_sign_or_the_other_or_both():
    frames = torch.tensor([[-1.0, -0.9], [0.1, 2.0], [1.0, -1.0], [-1.0, 1.0]])
    assert outcome(frames).tolist() == [0, 1, 2, 2]
    assert shares(frames).tolist() == [0.25, 0.25, 0.5]


def test_the_distance_of_a_sample_from_its_law_is_what_chance_gives():
    law, num = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64), 60
    draws = torch.multinomial(law.expand(4000, 3), num, replacement=True, generator=stream(0, "draws"))
    found = torch.stack([(draws == place).double().mean(1) for place in range(3)], 1)
    distance = (found - law).abs().sum(1).mean() / 2
    assert sampling_distance(law, num) == pytest.approx(distance.item(), rel=0.05)


def test_every_parameter_has_its_line_and_only_ensembles_are_compared():
    test = flips([0.25, 0.75])
    rungs = [Rung("still", "trivial", Persistence()), Rung("coin", "ours", Coin(), num_members=50)]
    lines = compare_outcomes(rungs, test, seed=0)
    assert len(lines) == 2
    assert lines[0].startswith("100 problems with nu = 0.25: truth ")
    for line in lines:
        assert "still" not in line
        assert "by chance" in line
    words = lines[1].split("coin ")[1]
    share = float(words.split("% above 0")[0].split(", ")[-1])
    assert share == pytest.approx(75, abs=3)


def test_an_ensemble_of_the_wrong_law_is_far_off():
    test = flips([0.75])
    wrong = on_its_grid(test.values, torch.full_like(test.params, 0.25), FIELDS)
    (right,), (off,) = (
        compare_outcomes([Rung("coin", "ours", Coin(), num_members=50)], data, seed=0)
        for data in (test, wrong)
    )

    def distance(line):
        return float(line.split("off by ")[1].split(" ")[0])

    assert distance(right) < 0.1
    assert distance(off) > 0.35
