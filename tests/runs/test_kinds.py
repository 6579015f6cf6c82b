from tiny_images import tiny as tiny_images
from tiny_recipe import tiny
from ups.images import bench as image_bench
from ups.runs import kinds as runs
from ups.runs import pipeline


def test_every_kind_of_settings_is_carried_out_by_its_own_bench(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(pipeline, "run", lambda *arguments: called.append(("pipeline", *arguments)))
    monkeypatch.setattr(image_bench, "run_images", lambda *arguments: called.append(("images", *arguments)))
    runs.run(tiny(), tmp_path, beside=tmp_path.parent)
    runs.run(tiny_images(), tmp_path, "trackio")
    assert called == [
        ("pipeline", tiny(), tmp_path, "none", tmp_path.parent),
        ("images", tiny_images(), tmp_path, "trackio"),
    ]
