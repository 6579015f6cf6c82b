"""Studies: a question, variants of a recipe, paired seeds, and what would count as an answer."""

from __future__ import annotations

from ups.config import override
from ups.recipes import burgers
from ups.runs.settings import Run
from ups.studies.study import Decision, PrimaryMetric, Study


def burgers_optimizer() -> Study[Run]:
    """Is Muon worth it? Burgers' equation, the operator for 20 s, three seeds: five minutes on two cores."""
    short = ["baselines={}", "data.num_trajectories=300", "data.num_cells=128", "training.seconds=20"]
    short += ["training.batch_size=20", "training.warmup=20", "training.num_validations=4"]
    return Study[Run](
        question="At equal seconds, does Muon train the operator to a smaller rollout error than AdamW?",
        base=override(burgers.quick(), short),
        variants={
            "adamw": ("training.optimizer=adamw",),
            "adamw_twice_the_rate": ("training.optimizer=adamw", "training.learning_rate=4e-3"),
        },
        seeds=(0, 1, 2),
        metric=PrimaryMetric(protocol="pdebench", stepper="operator", metric="nrmse"),
        decision=Decision(minimal_percent=5.0, confidence=0.95),
    )
