import pytest
import torch

from candidates import FIELDS
from correctors import corrected
from ups.search.known import Known, built, stated
from ups.types import UserError


def test_what_is_known_is_known_again_from_its_manifest():
    known = Known(FIELDS, "Advection", (32,))
    again = known.manifest().build()
    assert again.fields == FIELDS
    frames = torch.randn(2, 1, 16)
    params = torch.ones(2, 1)
    assert torch.equal(again.residual.rate(frames, params), known.residual.rate(frames, params))


def test_where_nothing_is_known_there_is_no_residual():
    assert Known(FIELDS).residual is None
    with pytest.raises(UserError, match=r"no equation 'Advectoin' .did you mean 'Advection'"):
        Known(FIELDS, "Advectoin")


def test_a_stepper_comes_back_from_what_it_states():
    top = corrected()
    again = built(stated(top))
    again.load_state_dict(top.state_dict())
    assert type(again) is type(top)
    with pytest.raises(UserError, match="kind 'corrcted' is not known"):
        built({"kind": "corrcted"})
