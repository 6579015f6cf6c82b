import pytest

from ups.config import override
from ups.data.arrays import Arrays
from ups.types import UserError


def given(*settings):
    return override(Arrays(file=("a.npz",)), settings)


def test_an_order_of_axes_is_text_or_a_list():
    for text in ("sample time x y field", "[sample, time, x, y, field]", "sample, time, x, y, field"):
        dims = given(f"dims={text}").dims
        assert (dims.sample, dims.time, dims.space, dims.field) == ("sample", "time", ("x", "y"), "field")
        assert dims.order == ("sample", "time", "x", "y", "field")


def test_names_of_axes_are_a_mapping_and_can_be_set_one_by_one():
    dims = given("dims={sample: member, time: t, space: [lon, lat]}").dims
    assert (dims.sample, dims.time, dims.space, dims.field, dims.order) == (
        "member",
        "t",
        ("lon", "lat"),
        "",
        (),
    )
    assert given("dims.time=t", "dims.space=[x]").dims.space == ("x",)


def test_fields_are_names_or_say_more():
    assert list(given("fields=[u, v]").fields) == ["u", "v"]
    assert list(given("fields=u").fields) == ["u"]
    fields = given(
        "fields={u: speed, v: {array: vel, unit: m/s, conserved: true, vector: w, axis: x}, h: }"
    ).fields
    assert fields["u"].array == "speed"
    assert (fields["v"].unit, fields["v"].conserved, fields["v"].vector, fields["v"].axis) == (
        "m/s",
        True,
        "w",
        "x",
    )
    assert fields["h"].array is None


def test_params_and_extent_have_short_forms():
    assert given("params=[nu]").params == {"nu": "nu"}
    assert given("params=nu").params == {"nu": "nu"}
    assert given("params={nu: viscosity, rho: 2.0}").params == {"nu": "viscosity", "rho": 2.0}
    assert given("extent=2").extent == {"*": (0.0, 2.0)}
    assert given("extent={x: 1e-3, y: [-1, 1]}").extent == {"x": (0.0, 1e-3), "y": (-1.0, 1.0)}


def test_settings_survive_their_own_json():
    chosen = given(
        "dims=sample time x y field",
        "fields={u: {vector: w, axis: x}, v: {vector: w, axis: y}}",
        "constants=[mask]",
        "params={nu: 0.1, mu: mu}",
        "extent={x: 1.0, y: [-1, 1]}",
        "boundary={x: periodic, y: [wall, open]}",
        "dt=0.5",
    )
    assert Arrays(**chosen.model_dump(mode="json")) == chosen


@pytest.mark.parametrize(
    "text",
    [
        "dims=sample time x x",
        "dims=sample time x y z w",
        "dims={tim: t}",
        "dims=3",
        "fields=3",
        "fields={u: {vector: w}}",
        "fields={u: 3}",
        "extent=0",
        "extent=.inf",
        "extent={x: [1, 0]}",
        "extent={x: [1, 2, 3]}",
        "extent={x: wide}",
        "dt=0",
        "dt=.inf",
        "params={nu: [1, 2]}",
    ],
)
def test_what_makes_no_sense_is_one_line(text):
    with pytest.raises(UserError) as error:
        given(text)
    assert "\n" not in str(error.value)
    assert text.partition("=")[0] in str(error.value)
