from known_steppers import Roll

from ups.evaluation.protocols import (
    FROM_INITIAL,
    MIDDLE,
    ONE_STEP,
    PDEBENCH,
    PROTOCOLS,
    obstacle,
    ranked_by_crps,
)


def test_a_stepper_that_needs_more_context_is_not_scored_and_the_reason_says_why():
    reason = obstacle(FROM_INITIAL, Roll(num_context=10), num_frames=41)
    assert reason == "needs 10 context frames, the protocol gives 1"
    assert not obstacle(PDEBENCH, Roll(num_context=10), num_frames=41)
    assert not obstacle(FROM_INITIAL, Roll(), num_frames=2)


def test_data_without_a_frame_to_score_are_not_scored():
    assert obstacle(PDEBENCH, Roll(), num_frames=10)
    assert not obstacle(PDEBENCH, Roll(), num_frames=11)


def test_the_middle_is_asked_where_there_is_a_first_half_to_leave_out():
    assert MIDDLE.first(41) == 20
    assert not obstacle(MIDDLE, Roll(), num_frames=22)
    assert (
        obstacle(MIDDLE, Roll(), num_frames=21)
        == "the first half of 21 frames is no longer than the context of 10"
    )
    assert [each.first(41) for each in (PDEBENCH, FROM_INITIAL, ONE_STEP)] == [10, 1, 10]


def test_one_step_scores_the_frames_of_pdebench():
    assert (ONE_STEP.num_context, ONE_STEP.primary) == (PDEBENCH.num_context, PDEBENCH.primary)
    assert (ONE_STEP.horizon, PDEBENCH.horizon) == (1, None)


def test_names_are_those_that_reports_know():
    assert [protocol.name for protocol in PROTOCOLS] == ["pdebench", "from_initial", "middle", "one_step"]


def test_the_description_says_what_is_asked_and_what_ranks():
    assert PDEBENCH.description == (
        "rollout from 10 true frames; frames 10 and later scored; error relative to each frame's truth"
    )
    assert ONE_STEP.description.endswith("one step ahead; no error accumulates")


def test_ranked_by_crps_the_question_stays_the_same():
    for protocol in PROTOCOLS:
        ranked = ranked_by_crps(protocol)
        assert ranked.primary == "fair_crps"
        assert (ranked.name, ranked.num_context, ranked.horizon) == (
            protocol.name,
            protocol.num_context,
            protocol.horizon,
        )
        assert ranked.description.startswith(protocol.task)
        assert "fair CRPS" in ranked.description
        assert "relative" not in ranked.description
