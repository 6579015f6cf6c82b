import pytest

from tiny_images import tiny as tiny_images
from tiny_recipe import tiny
from ups.images import bench as image_bench
from ups.runs import kinds as runs
from ups.runs import pipeline
from ups.types import UserError


def test_every_kind_of_settings_is_carried_out_by_its_own_bench(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(pipeline, "run", lambda *arguments: called.append(("pipeline", *arguments)))
    monkeypatch.setattr(image_bench, "run_images", lambda *arguments: called.append(("images", *arguments)))
    runs.run(tiny(), tmp_path)
    runs.run(tiny_images(), tmp_path, "trackio")
    assert called == [
        ("pipeline", tiny(), tmp_path, "none"),
        ("images", tiny_images(), tmp_path, "trackio"),
    ]


def test_the_settings_of_a_finished_run_are_read_back(tiny_run, tiny_image_run, pictures):
    assert runs.read_settings(tiny_run)[0] == tiny()
    settings, record = runs.read_settings(tiny_image_run)
    assert settings == tiny_images(pictures)
    assert record["bench"] == "images"


def test_a_run_that_is_not_finished_is_refused(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="not finished"):
        runs.read_settings(tmp_path)
