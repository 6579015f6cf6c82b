"""A study of seconds: another learning rate for the tiny recipe, three seeds."""

from tiny_recipe import kicked, tiny
from ups.config import override
from ups.runs.settings import Run
from ups.studies.study import PrimaryMetric, Study


def rates() -> Study[Run]:
    """Does a learning rate of nothing train?"""
    short = ["baselines={}", "training.updates=20", "solver_cells=[32]"]
    return Study[Run](
        question="Does the tiny operator learn?",
        base=override(tiny(), short),
        variants={"still": ("training.learning_rate=1e-9",)},
    )


def correctors() -> Study[Run]:
    """Do more updates help the tiny corrector?"""
    return Study[Run](
        question="Do more updates help?",
        base=override(kicked(), ["student=null", "baselines={}", "data.num_frames=6"]),
        variants={"more": ("corrector_training.updates=40",)},
        seeds=(0,),
        metric=PrimaryMetric(protocol="from_initial", stepper="corrector", metric="crmse"),
    )


def untyped() -> Study:
    return Study(question="Of which type?", base=tiny(), variants={"still": ("training.learning_rate=1e-9",)})
