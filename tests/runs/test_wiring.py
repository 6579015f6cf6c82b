"""Which split, normalizer, settings, batches, grid and seed reach every fit, calibration, judgement and rung of a run.

One run is spied on at its seams; each test asks one question of what was seen.
"""

import hashlib
from dataclasses import dataclass, field

import pytest
import torch

from tiny_recipe import kicked, steady, tiny
from ups.config import override
from ups.data.splits import initial_hashes
from ups.evaluation.rows import query
from ups.runs import pipeline, rungs
from ups.runs.saved import load
from ups.training import update
from ups.types import Trajectory


def digest(tensors):
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


@dataclass
class Seen:
    """Calls by the name of the function: each the names of the splits among its arguments, and all arguments."""

    splits: object
    calls: dict = field(default_factory=dict)
    batches: dict = field(default_factory=dict)
    initial: dict = field(default_factory=dict)
    trained: dict = field(default_factory=dict)

    def part(self, value):
        hashes = set(initial_hashes(value.values))
        names = ("train", "validation", "test")
        return next((n for n in names if set(initial_hashes(getattr(self.splits, n).values)) == hashes), "?")

    def note(self, name, args, kwargs):
        given = [*args, *kwargs.values()]
        parts = [self.part(value) for value in given if isinstance(value, Trajectory)]
        self.calls.setdefault(name, []).append((parts, args, kwargs))


def spied(settings, folder):
    seen = Seen(pipeline.load(settings))
    with pytest.MonkeyPatch.context() as patch:

        def spy(module, name):
            real = getattr(module, name)

            def call(*args, **kwargs):
                seen.note(name, args, kwargs)
                if name == "fit":
                    seen.initial[args[0].name] = digest(args[0].model.state_dict())
                result = real(*args, **kwargs)
                if name == "fit":
                    seen.trained[args[0].name] = digest(args[0].model.state_dict())
                return result

            patch.setattr(module, name, call)

        for name in ("fit", "fit_normalizer", "measure", "error"):
            spy(pipeline, name)
        for name in (
            "look_at",
            "residual_spectrum",
            "match_power",
            "judge",
            "judge_student",
            "match",
            "Coarse",
            "Climatology",
        ):
            spy(rungs, name)
        real = update.Updater.batch

        def batch(self, number, length):
            drawn = real(self, number, length)
            seen.batches.setdefault((self.stage.name, number, length), digest({"v": drawn.values}))
            return drawn

        patch.setattr(update.Updater, "batch", batch)
        patch.setattr(pipeline, "write_report", lambda folder: None)
        pipeline.run(settings, folder)
    return seen


def recipe():
    """Everything on the operator, two baselines, a choice of grids, an augmentation."""
    small = "{kind: tuned_fno, num_context: 1, width: 8, modes: 4}"
    return override(
        kicked(),
        [
            f"baselines.small_fno={small}",
            "solver_cells=[16,32,64]",
            "training.symmetries=[shift]",
        ],
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("wiring") / "run"
    return spied(recipe(), folder), folder


def fits(seen):
    return {args[0].name: (parts, args, kwargs) for parts, args, kwargs in seen.calls["fit"]}


def test_every_stage_is_trained_on_the_training_split_and_watched_on_the_validation_split(whole):
    seen, _ = whole
    assert list(fits(seen)) == ["operator", "crps_operator", "small_fno", "corrector", "student"]
    for parts, _, kwargs in fits(seen).values():
        assert parts == ["train", "validation"]
        assert seen.part(kwargs["held_out"]) == "validation"


def test_every_stage_has_the_settings_that_the_recipe_gives_it(whole):
    seen, settings = whole[0], recipe()
    given = {name: args[3] for name, (_, args, _) in fits(seen).items()}
    assert given["operator"] == given["small_fno"] == settings.training
    crps = settings.baselines["crps_operator"]
    assert given["crps_operator"] == settings.training.model_copy(update={"unroll": crps.unroll})
    assert given["corrector"] == settings.corrector_training
    assert given["student"] == settings.student_training
    assert {args[4] for _, args, _ in fits(seen).values()} == {settings.seed}


def test_baselines_are_unrolled_and_disturbed_as_the_operator_is():
    settings = override(tiny(), ["training.noise=0.01"])
    assert len(settings.training.unroll) > 1
    below, seen = pipeline.ground(settings, pipeline.load(settings)), {}
    for spec in settings.rungs:
        if spec.training is not None:
            stage = spec.stage(spec.build(below), below)
            seen[spec.name] = stage.unroll, stage.noise
    assert seen == dict.fromkeys(("tuned_fno", "operator"), (settings.training.unroll, 0.01))


def test_operator_and_baselines_see_the_same_batches_in_the_same_order(whole):
    batches = whole[0].batches
    for number in range(30):
        assert batches["operator", number, 2] == batches["small_fno", number, 2]
    assert len({batches["operator", number, 2] for number in range(30)}) == 30


def test_the_augmentation_reaches_the_batches(whole, tmp_path):
    plain = spied(
        override(recipe(), ["training.symmetries=[]", "corrector=null", "student=null"]), tmp_path / "run"
    )
    assert plain.batches["operator", 0, 2] != whole[0].batches["operator", 0, 2]


def test_weights_are_validated_and_ranked_on_the_validation_split_alone(whole):
    seen, _ = whole
    assert {tuple(parts) for parts, _, _ in seen.calls["error"]} == {("validation",)}
    assert {args[2].name for _, args, _ in seen.calls["error"]} == {"one_step"}


def test_what_is_fitted_without_gradients_knows_the_split_that_it_should(whole):
    seen, _ = whole
    expected = {
        "fit_normalizer": ["train"],
        "look_at": ["train"],
        "residual_spectrum": ["validation"],
        "match_power": ["train"],
        "judge": ["train", "validation"],
        "judge_student": ["validation"],
        "match": ["validation"],
    }
    for name, parts in expected.items():
        assert {tuple(found) for found, _, _ in seen.calls[name]} == {tuple(parts)}, name


def test_only_the_last_step_sees_the_test_split(whole):
    seen, _ = whole
    touched = {name for name, calls in seen.calls.items() for parts, _, _ in calls if "test" in parts}
    assert touched == {"measure"}


def test_the_solver_is_asked_on_the_grids_that_are_named_and_the_coarsest_that_matches_is_taken(whole):
    seen, folder = whole
    asked = [args[2] for _, args, _ in seen.calls["Coarse"]]
    assert set(asked) <= {16, 32, 64}
    assert all(kwargs == {"samples_are_points": True} for _, _, kwargs in seen.calls["Coarse"])
    (_, args, _), *_ = seen.calls["match"]
    target = args[3]
    errors = {}
    splits = seen.splits
    for cells in (16, 32, 64):
        stepper = rungs.SolverSpec(equation=recipe().data.equation_class, cells=(cells,))._on(
            cells, splits.validation
        )
        assert stepper.num_cells == cells
        assert stepper.frames_read == (10 if cells > 32 else 1)
        errors[cells] = rungs.error(stepper, splits.validation, args[2])
    chosen = next((cells for cells in errors if errors[cells] <= target), min(errors, key=errors.get))
    names = query(folder / "rows.parquet", "select distinct stepper from rows")["stepper"]
    assert f"solver, {chosen} cells" in set(names)


def test_the_ladder_that_is_measured_is_the_one_of_the_recipe(whole):
    seen, _ = whole
    ((parts, args, _),) = seen.calls["measure"]
    assert parts == ["test"]
    measured = {rung.name: rung for rung in args[0]}
    assert next(iter(measured)) == "persistence"
    members = {name: rung.num_members for name, rung in measured.items() if rung.num_members > 1}
    assert members == dict.fromkeys(
        ("crps_operator", "operator + colored noise", "corrector", "student", "perfect ensemble"), 3
    )
    seconds = {name: rung.training_seconds for name, rung in measured.items()}
    assert seconds["persistence"] == seconds["perfect ensemble"] == 0
    assert 0 < seconds["operator"] == seconds["operator + colored noise"]
    assert seconds["operator"] < seconds["corrector"] < seconds["student"]


def test_what_is_saved_is_what_was_scored(whole):
    seen, folder = whole
    ((_, args, _),) = seen.calls["measure"]
    test = seen.splits.test
    for rung in args[0]:
        name = {s.label(rung.stepper): s.name for s in recipe().rungs if s.kind == rung.kind}[rung.name]
        again = load(folder, name)
        frames = []
        for stepper in (rung.stepper, again):
            generator = torch.Generator().manual_seed(0)
            state = stepper.advance(stepper.encode(test.values[:, :10], test.params), generator)
            frames.append(stepper.decode(state))
        assert torch.equal(*frames), name


def test_the_seed_reaches_every_initial_weight(whole, tmp_path):
    other = spied(override(recipe(), ["seed=1"]), tmp_path / "run")
    for name, initial in whole[0].initial.items():
        assert other.initial[name] != initial, name
    assert other.batches["operator", 0, 2] != whole[0].batches["operator", 0, 2]


def test_a_codec_stays_as_it_was_trained(tmp_path):
    codec = "{kind: convolutional, num_levels: 1, dim: 1, width: 8}"
    short = [
        "codec_training.updates=6",
        "codec_training.batch_size=8",
        "training.updates=6",
        "training.warmup=1",
    ]
    settings = override(
        tiny(),
        [f"codec={codec}", "operator={kind: spectral_rate, width: 8, modes: 4, num_blocks: 1}", *short],
    )
    seen = spied(settings, tmp_path / "run")
    assert list(fits(seen)) == ["codec", "operator", "tuned_fno"]
    emulator = load(tmp_path / "run", "operator")
    assert digest(emulator.codec.state_dict()) == seen.trained["codec"] != seen.initial["codec"]


def test_climatology_is_drawn_from_the_training_split(tmp_path):
    seen = spied(steady(), tmp_path / "run")
    pool = load(tmp_path / "run", "climatology").frames
    assert torch.equal(pool, seen.splits.train.values[:, -1])
