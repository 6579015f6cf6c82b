import json
import math

import numpy as np
import pytest

import records
from toy_study import Toy, study
from ups import record
from ups.evaluation.rows import RowStore, to_columns
from ups.reports.wording import MINUS
from ups.studies.folder import read_study
from ups.studies.probe_table import describe_weights, probe_table
from ups.studies.study import begin, cells
from ups.types import Row

PLAIN, OWN = "noise error, unweighted", "noise error, Min-SNR 5"
MEAN_WEIGHT = {PLAIN: 1.0, OWN: 0.913}


BENCH = {  # what the page reads of the settings of an image run
    "denoiser": {"process": {"kind": "ddpm", "betas": "linear"}},
    "weighting": {"kind": "noise_error"},
    "probe": {"objectives": [{"kind": "min_snr", "gamma": 5.0}]},
}


def run(settings, folder, sharper, shrinks, probed=(PLAIN, OWN), images="a"):  # the loss shrinks every trace
    network = 200.0 * (sharper if settings.effect else 1.0)
    rng = np.random.default_rng(settings.seed)
    vectors = network * (1 + 0.02 * rng.normal(size=8)) * (1 + 0.01 * rng.normal())
    rows = [
        Row("", "", 0, f"curvature, {name}", "ema", vector, "trace", "", math.nan, value * factor)
        for name, factor in ((PLAIN, 1.0), (OWN, shrinks))
        if name in probed
        for vector, value in enumerate(vectors)
    ]
    rows += [
        Row("", "", 0, f"curvature, {PLAIN}", "ema", 0, "level_trace", f"t {level}", math.nan, value)
        for level, value in (("0.00-0.50", 90.0), ("0.50-1.00", 10.0))
    ]
    rows += [Row("", "", 0, "pdebench", "operator", 0, "nrmse", "u", math.nan, 1.0)]
    store = RowStore(folder, run=folder.name, seed=settings.seed)
    columns = to_columns(rows)
    store.write("all", {name: columns[name] for name in columns if name not in ("run", "variant", "seed")})
    store.combine()
    under = OWN if settings.effect else PLAIN
    weighting = {"trained_under": under, "mean_weight": MEAN_WEIGHT}
    chosen = settings.model_dump(mode="json") | BENCH
    record.write(folder, records.images(settings=chosen, seed=settings.seed, weighting=weighting))
    parts = {"data": images if settings.effect else "a", "seed": "0"}
    (folder / "curvature.json").write_text(json.dumps([{"probe_parts": parts, "probe_hash": "4f2a"}]))


def table(folder, sharper, shrinks, **changes):
    definition = study(variants={"min_snr": ("effect=0.3",)}, base=Toy())
    begin(definition, folder)
    for cell in cells(definition):
        run(definition.settings(*cell), folder / cell.name, sharper, shrinks, **changes)
    return probe_table(read_study(folder))


def test_a_loss_that_shrinks_is_told_from_a_network_that_is_flatter(tmp_path):
    found = table(tmp_path, sharper=1.16, shrinks=0.6)
    assert found.objectives == (PLAIN, OWN)
    assert found.hash == "4f2a"
    base, variant = found.lines
    assert variant.change[PLAIN].mean == pytest.approx(0.16, abs=1e-9)
    assert variant.change[OWN].mean == pytest.approx(0.16, abs=1e-9)
    assert base.traces[OWN].mean / base.traces[PLAIN].mean == pytest.approx(0.6)
    assert base.traces[PLAIN].low < base.traces[PLAIN].mean < base.traces[PLAIN].high
    (sentence,) = found.sentences
    assert "30 %" in sentence  # 0.6 times 1.16, the diagonal of the table
    assert "40 %" in sentence  # the loss alone
    assert "+16 %" in sentence  # the network, in truth sharper
    share = 100 * math.log(0.6) / math.log(0.6 * 1.16)
    assert f"{share:.0f} % of the apparent flattening is rescaling, that is, more than all of it" in sentence
    assert f"The mean weights alone say {MINUS}8.7 %" in sentence
    assert "90 % of the base's trace under 'noise error, unweighted' is that of t 0.00-0.50" in sentence
    (headline,) = found.headlines
    assert f"{MINUS}30 % in trace where each run is probed under its own loss" in headline
    assert f"makes {MINUS}40 % and the network +16 %" in headline


def test_a_network_that_is_flatter_by_itself_is_credited(tmp_path):
    (sentence,) = table(tmp_path, sharper=0.5, shrinks=0.8).sentences
    share = 100 * math.log(0.8) / math.log(0.4)
    assert f"{share:.0f} % of the apparent flattening is rescaling. " in sentence


def test_where_the_own_losses_show_no_flattening_nothing_is_explained(tmp_path):
    (sentence,) = table(tmp_path, sharper=1.5, shrinks=0.8).sentences
    assert "no flattening" in sentence


def test_the_mean_weights_are_said(tmp_path):
    said = describe_weights(table(tmp_path, 1.0, 0.9))
    assert said == (
        f"Mean weight over the levels of the process: 1.00 for '{PLAIN}', 0.913 for '{OWN}'. With DDPM's other "
        f"schedule of betas: 1.00 for '{PLAIN}', 0.824 for '{OWN}'."
    )


def test_runs_that_were_probed_with_different_sets_are_not_compared(tmp_path):
    found = table(tmp_path, 1.0, 0.9, images="b")
    assert found.lines == found.sentences == found.headlines == []
    assert (
        found.fault
        == "'min_snr-seed0' was not probed as 'base-seed0' was: data differ; probe both with one set"
    )


def test_a_run_that_failed_is_in_no_figure(tmp_path):
    table(tmp_path, 1.16, 0.6)
    (tmp_path / "min_snr-seed1" / "failed.json").write_text(json.dumps({"reason": "it diverged"}))
    found = probe_table(read_study(tmp_path))
    assert found.lines[1].change[PLAIN].mean == pytest.approx(0.16, abs=1e-9)
    for seed in (0, 2):
        (tmp_path / f"min_snr-seed{seed}" / "failed.json").write_text(json.dumps({"reason": "it diverged"}))
    found = probe_table(read_study(tmp_path))
    assert [line.name for line in found.lines] == ["base"]
    assert found.sentences == []


def test_runs_that_were_not_probed_under_two_objectives_have_no_table(tmp_path):
    assert table(tmp_path, 1.0, 0.9, probed=(PLAIN,)) is None
