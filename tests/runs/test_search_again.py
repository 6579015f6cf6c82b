import pytest

from ups import record
from ups.runs.reevaluate import evaluate
from ups.runs.search_again import searched
from ups.types import UserError


@pytest.mark.usefixtures("without_report")
def test_a_finished_run_is_searched_over_with_its_own_validation_data(kicked_run, tmp_path):
    asked = ["search.num_candidates=[2,3]", "search.force=true", "search.candidates_from=[corrector]"]
    evaluate(kicked_run, None, asked, tmp_path / "again")
    made = record.read_finished(tmp_path / "again")
    names = [rung.name for rung in made.ladder]
    for count in (2, 3):
        assert f"mean of {count} of corrector" in names
        assert sum(name.startswith(f"search, {count} by ") for name in names) == 1
    calls = {rung.name: rung.calls_per_frame for rung in made.ladder}
    assert calls["mean of 3 of corrector"] == 3 * (1 + calls["corrector"])
    assert any(name.startswith("search, 2 by") for name in made.guards)


@pytest.mark.usefixtures("without_report")
def test_what_cannot_be_searched_is_one_line_and_nothing_is_written(kicked_run, tiny_run, tmp_path):
    for folder, asked, said in (
        (tiny_run, "search.num_candidates=4", "nothing draws candidates"),
        (kicked_run, "search.beem=4", "beem"),
        (kicked_run, "search.beam=40", "wider than num_candidates"),
        (kicked_run, "search.horizon=99", "beam"),
        (kicked_run, "search.candidates_from=[law]", "draws no candidates"),
        (kicked_run, "search.rewards={boundary: 1}", "no ends"),
        (kicked_run, "search.max_calls=1", "does not pay"),
    ):
        with pytest.raises(UserError, match=said) as found:
            evaluate(folder, None, [asked], tmp_path / "again")
        assert "\n" not in str(found.value)
        assert not (tmp_path / "again").exists()


def test_refusals_come_back_with_their_reasons(kicked_run):
    rungs, refused, guards = searched(
        kicked_run, record.read_finished(kicked_run), ["search.num_candidates=4"]
    )
    names = [rung.name for rung in rungs]
    assert names[0] == "mean of 4 of student"
    assert "search" in guards
    assert len(rungs) + len(refused) == 4
