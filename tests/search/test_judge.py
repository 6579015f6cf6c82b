import pytest
import torch

from candidates import FIELDS, Truth
from ups.search.judge import Judge, features_of, rewards_of
from ups.search.known import Known
from ups.types import UserError

PARAMS = torch.full((3, 1), 0.25)


def frames():
    return torch.randn(2, 3, 1, 16)


def test_it_weighs_rewards_and_comes_back_from_its_manifest():
    known = Known(FIELDS, "Advection")
    judge = Judge(known, {"residual": 2.0, "conservation": 0.5})
    before, after = frames()
    rewards = rewards_of(known)
    wanted = 2 * rewards["residual"](before, after, PARAMS) + 0.5 * rewards["conservation"](
        before, after, PARAMS
    )
    assert torch.allclose(judge(before, after, PARAMS), wanted)
    assert torch.equal(judge.manifest().build()(before, after, PARAMS), judge(before, after, PARAMS))
    assert judge.calls == 0


def test_a_critic_is_a_call_and_is_kept():
    known = Known(FIELDS)
    before, after = frames()
    count = features_of(known)(before, after, PARAMS).shape[1]
    judge = Judge(known, {"critic": 1.0}, tuple(map(float, range(count))))
    assert judge.calls == 1
    assert torch.equal(judge.manifest().build()(before, after, PARAMS), judge(before, after, PARAMS))


def test_what_the_data_lack_is_refused():
    with pytest.raises(UserError, match="no reward 'boundary' here, the data have no ends"):
        Judge(Known(FIELDS), {"boundary": 1.0})
    assert Truth().calls == 0
