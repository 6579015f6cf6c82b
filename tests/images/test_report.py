import json
import re
import shutil

import pytest

from ups.images.report import write_image_report
from ups.types import UserError


def test_the_page_is_one_file_with_every_anchor_point_and_figure(tiny_image_run):
    page = (tiny_image_run / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for text in ("anchor: noise", "anchor: mean image", "heun", "Min-SNR 5", "0.913", "Sampler oracle"):
        assert text in page
    assert page.count("<img") == 4  # samples, test images, strip, milestones
    assert page.count("<svg") == 4
    figures = {path.stem for path in (tiny_image_run / "figures").glob("*.png")}
    assert figures == {
        "samples", "test", "strip_ddim_8_ema", "milestones", "distance_calls", "sweep", "loss_levels", "course",
    }  # fmt: skip


def test_an_untrained_network_is_called_a_fault_and_no_result(tiny_image_run):
    text = (tiny_image_run / "report.md").read_text()
    assert "near noise: a fault" in text
    assert "the choice of the objective alone changes it by" in text
    assert "| ddim | 5 | 5 | 20 | ema |" in text  # sampler, steps, calls, samples, weights


def test_the_report_is_made_again_from_the_folder_alone(tiny_image_run, tmp_path):
    folder = tmp_path / tiny_image_run.name
    shutil.copytree(tiny_image_run, folder)
    shutil.rmtree(folder / "figures")
    before = (folder / "report.md").read_text()
    (folder / "report.md").unlink()
    write_image_report(folder)
    assert (folder / "report.md").read_text() == before


def test_a_folder_without_a_run_is_refused(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match=r"no rows\.parquet"):
        write_image_report(tmp_path)
