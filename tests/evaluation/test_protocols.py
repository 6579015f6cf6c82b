from known_steppers import Roll

from ups.evaluation.protocols import FROM_INITIAL, ONE_STEP, PDEBENCH, PROTOCOLS, obstacle


def test_a_stepper_that_needs_more_context_is_not_scored_and_the_reason_says_why():
    reason = obstacle(FROM_INITIAL, Roll(num_context=10), num_frames=41)
    assert reason == "needs 10 context frames, the protocol gives 1"
    assert not obstacle(PDEBENCH, Roll(num_context=10), num_frames=41)
    assert not obstacle(FROM_INITIAL, Roll(), num_frames=2)


def test_data_without_a_frame_to_score_are_not_scored():
    assert obstacle(PDEBENCH, Roll(), num_frames=10)
    assert not obstacle(PDEBENCH, Roll(), num_frames=11)


def test_one_step_scores_the_frames_of_pdebench():
    assert (ONE_STEP.num_context, ONE_STEP.primary) == (PDEBENCH.num_context, PDEBENCH.primary)
    assert (ONE_STEP.horizon, PDEBENCH.horizon) == (1, None)


def test_names_are_those_that_reports_know():
    assert [protocol.name for protocol in PROTOCOLS] == ["pdebench", "from_initial", "one_step"]
