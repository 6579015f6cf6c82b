import pytest

from ups.recipes import worlds


@pytest.mark.parametrize("recipe", [worlds.controlled_burgers, worlds.heat, worlds.forced_vorticity])
def test_every_world_has_data_a_codec_and_a_window_that_fills_its_context(recipe):
    run = recipe()
    assert run.data.kind == "controlled"
    assert {"persistence", "operator", "world_mean", "world"} <= {spec.name for spec in run.rungs}
    longest = max(frames for _, frames in run.dynamics_training.unroll)
    assert longest >= run.dynamics.context
    assert run.data.num_frames >= 31
