"""Studies that answer claims of the reports which this project starts from (docs/claims.md), in short forms.

All stand on one base: the source system's golden settings, small enough for two cores. Its operator is poor, as
theirs was, so that a corrector has something to do.
"""

from __future__ import annotations

from ups.config import merge, override
from ups.models.student import StudentSettings
from ups.recipes import burgers, worlds
from ups.runs.settings import Run
from ups.search.settings import SearchSettings
from ups.studies.study import Decision, PrimaryMetric, Study

SEEDS = (0, 1, 2, 3, 4)


def corrector_training() -> Study[Run]:
    """Light against golden, and which of its three changes does it: updates, learning rate, weight decay."""
    return Study[Run](
        question="Is a corrector that is trained less better, and by which of the three changes?",
        base=_golden(),
        variants={
            "light": (
                "corrector_training.updates=300",
                "corrector_training.learning_rate=1.2e-4",
                "corrector_training.weight_decay=0.05",
            ),
            "fewer_updates": ("corrector_training.updates=300",),
            "lower_rate": ("corrector_training.learning_rate=1.2e-4",),
            "more_decay": ("corrector_training.weight_decay=0.05",),
        },
        seeds=SEEDS,
        metric=_ensemble(),
        decision=Decision(minimal_percent=5.0),
        pays={"corrector": "operator", "colored_noise": "operator"},
    )


def corrector_noise() -> Study[Run]:
    """Which noise levels a corrector is trained at, and how they are weighted: Beta, uniform, stratified, ramp."""
    return Study[Run](
        question="Do Beta(1.2, 1.2) noise levels help against uniform and stratified ones, and do other weights?",
        base=_golden(),
        variants={
            "uniform": ("corrector.time_law.kind=uniform",),
            "stratified": ("corrector.time_law.kind=stratified",),
            "ramp": ("corrector.weighting.kind=ramp",),
            "data_error": ("corrector.weighting.kind=data_error",),
        },
        seeds=SEEDS,
        metric=_ensemble(),
        decision=Decision(minimal_percent=5.0),
    )


def corrector_network() -> Study[Run]:
    """Are three layers on single tokens enough for the residual: deeper, wider, attention, no rolled-out states."""
    return Study[Run](
        question="Is a token-wise MLP of three layers enough for the residual?",
        base=_golden(),
        variants={
            "six_layers": ("corrector.network.depth=6",),
            "attention": (
                "corrector.network.kind=transformer",
                "corrector.network.hidden_dim=64",
                "corrector.network.num_heads=4",
                "corrector.network.depth=3",
            ),
            "true_states_only": ("corrector.rolled_steps=0",),
        },
        seeds=SEEDS,
        metric=_ensemble(),
        decision=Decision(minimal_percent=5.0),
    )


def corrector_together() -> Study[Run]:
    """All that the reports would change at once, and an operator trained by rollouts under the corrector."""
    return Study[Run](
        question="Do the fixes combine, and is a corrector worse on an operator that was trained by rollouts?",
        base=_golden(),
        variants={
            "all_fixes": (
                "corrector_training.updates=300",
                "corrector_training.learning_rate=1.2e-4",
                "corrector_training.weight_decay=0.05",
                "corrector.time_law.kind=stratified",
                "training.clip=0.3",
            ),
            "rollout_loss": ("training.unroll=[[0,1],[0.5,3]]",),
            "multi_scale": (
                "corrector.network.kind=spectral_local",
                "corrector.network.width=32",
                "corrector.network.modes=4",
            ),
        },
        seeds=SEEDS,
        metric=_ensemble(),
        decision=Decision(minimal_percent=5.0),
        pays={"corrector": "operator"},
    )


def distillation() -> Study[Run]:
    """A student in one call: by its teacher's walks, by consistency, by shortcuts, in two calls, hardly trained."""
    student = StudentSettings(teacher_steps=4)
    return Study[Run](
        question="Does distillation work, by which method, and what does a second call buy?",
        base=override(
            merge(_golden(), {"student": student.model_dump()}),
            [
                *("student_training.seconds=null", "student_training.updates=400"),
                *("student_training.batch_size=20", "student_training.learning_rate=3e-4"),
            ],
        ),
        variants={
            "consistency": ("student.method=consistency",),
            "shortcut": ("student.method=shortcut",),
            "two_calls": ("student.num_steps=2",),
            "hardly_trained": ("student_training.updates=20",),
        },
        seeds=SEEDS,
        metric=PrimaryMetric(protocol="pdebench", stepper="student", metric="fair_crps"),
        decision=Decision(minimal_percent=5.0),
        pays={"student": "corrector", "corrector": "colored_noise"},
    )


def search() -> Study[Run]:
    """Light against aggressive search, conservation against dissipation as a reward, many candidates against few."""
    return Study[Run](
        question="Does search at test time pay on Burgers, with which reward, and do more candidates help?",
        base=_searched(_golden()),
        variants={
            "aggressive": (
                "search.num_candidates=16",
                "search.beam=5",
                "search.horizon=3",
                "search.max_calls=300",
            ),
            "no_beam": ("search.beam=1", "search.horizon=1"),
            "conservation": ("search.rewards={conservation: 1}",),
            "dissipation": ("search.rewards={energy_balance: 1, maximum_principle: 1, total_variation: 1}",),
            "critic": ("search.rewards={critic: 1}",),
            "sixty_four": (
                "search.num_candidates=64",
                "search.beam=1",
                "search.horizon=1",
                "search.max_calls=400",
            ),
        },
        seeds=SEEDS,
        metric=PrimaryMetric(protocol="pdebench", stepper="search", metric="nrmse"),
        decision=Decision(minimal_percent=5.0),
        pays={"search": "mean_of_candidates", "mean_of_candidates": "operator", "lower_residual": "operator"},
    )


def search_rescue() -> Study[Run]:
    """Search over an operator that was hardly trained, and over one of twice the width."""
    return Study[Run](
        question="Does search rescue a bad operator, and does it pay more on a larger one?",
        base=_searched(override(_golden(), ["training.updates=150"])),
        variants={
            "trained": ("training.updates=1500",),
            "wide": ("training.updates=1500", "operator.hidden_dim=96"),
        },
        seeds=SEEDS,
        metric=PrimaryMetric(protocol="pdebench", stepper="search", metric="nrmse"),
        decision=Decision(minimal_percent=5.0),
        pays={"search": "mean_of_candidates", "mean_of_candidates": "operator"},
    )


def world() -> Study[Run]:
    """A small world model: the ramp right, upside down or none; shortcut or plain; fresh noise; calls a frame."""
    return Study[Run](
        question="What do the ramp, shortcuts, proper hops and the number of calls do for a world model?",
        base=_world(),
        variants={
            "ramp_upside_down": ("dynamics.weighting.low=10",),
            "no_ramp": ("dynamics.weighting.low=1",),
            "plain_forcing": ("dynamics.method=forcing",),
            "fresh_noise": ("dynamics.sampler=fresh_noise",),
            "one_call": ("dynamics.num_calls=1",),
            "two_calls": ("dynamics.num_calls=2",),
            "sixteen_calls": ("dynamics.num_calls=16",),
        },
        seeds=SEEDS,
        metric=PrimaryMetric(protocol="pdebench", stepper="world", metric="fair_crps"),
        decision=Decision(minimal_percent=5.0),
        pays={"world": "operator", "world_mean": "operator"},
    )


def world_forcing() -> Study[Run]:
    """A small world model: levels that rise along the frames, or hops that end at the noise of a context."""
    return Study[Run](
        question="Can noise levels rise along the frames in training, and may a frame keep the noise of a context?",
        base=override(_world(), ["dynamics.method=forcing"]),
        variants={
            "ramped": ("dynamics.method=ramped",),
            "to_context": ("dynamics.sampler=to_context",),
            "shortcut_to_context": ("dynamics.method=shortcut", "dynamics.sampler=to_context"),
        },
        metric=PrimaryMetric(protocol="pdebench", stepper="world", metric="fair_crps"),
        decision=Decision(minimal_percent=5.0),
    )


def operator_training() -> Study[Run]:
    """Twice the updates, a rollout loss, tighter clipping, Muon, and blocks in one stack, for the golden operator."""
    return Study[Run](
        question="Do more updates, a rollout loss, tighter clipping, Muon or a flat stack change the golden operator?",
        base=override(_golden(), ["corrector=null"]),
        variants={
            "twice_the_updates": ("training.updates=3000",),
            "rollout_loss": ("training.unroll=[[0,1],[0.5,3]]",),
            "clip_half": ("training.clip=0.5",),
            "muon": ("training.optimizer=muon",),
            "stacked": (
                "operator.kind=transformer",
                "operator.hidden_dim=48",
                "operator.num_heads=4",
                "operator.depth=3",
                "operator.group_size=16",
            ),
        },
        seeds=SEEDS,
        metric=PrimaryMetric(protocol="pdebench", stepper="operator", metric="nrmse"),
        decision=Decision(minimal_percent=5.0),
    )


def operator_size() -> Study[Run]:
    """More numbers in a token, more tokens, more width: the capacity ladder of the reports, small."""
    return Study[Run](
        question="Do more numbers, more tokens or more width make the golden operator better?",
        base=override(_golden(), ["corrector=null"]),
        variants={
            "tokens_of_32": ("codec.dim=32",),
            "twice_the_tokens": ("codec.num_levels=2",),
            "four_times_the_tokens": ("codec.num_levels=1",),
            "twice_the_width": ("operator.hidden_dim=96",),
        },
        seeds=SEEDS,
        metric=PrimaryMetric(protocol="pdebench", stepper="operator", metric="nrmse"),
        decision=Decision(minimal_percent=5.0),
    )


def operator_losses() -> Study[Run]:
    """The residual of the equation, and an error of every wave in its own units, as further terms of the loss."""
    return Study[Run](
        question="Do losses of physics or of the spectrum make the golden operator better?",
        base=override(_golden(), ["corrector=null"]),
        variants={
            "physics": ("losses.physics=0.01",),
            "more_physics": ("losses.physics=0.1",),
            "spectral": ("losses.spectral=0.01",),
        },
        metric=PrimaryMetric(protocol="pdebench", stepper="operator", metric="nrmse"),
        decision=Decision(minimal_percent=5.0),
    )


def inverse_losses() -> Study[Run]:
    """Codec and operator trained together, with inverse losses of several weights or none, or one after the other."""
    return Study[Run](
        question="Does a rollout in tokens need inverse losses, and what does their weight cost?",
        base=override(_golden(), ["corrector=null", "losses.joint=true"]),
        variants={
            "half": ("losses.inverse=0.5",),
            "capped": ("losses.inverse=0.05", "losses.warmup=0.3"),
            "tiny": ("losses.inverse=0.001", "losses.warmup=0.3"),
            "fixed_codec": ("losses.joint=false",),
        },
        metric=PrimaryMetric(protocol="pdebench", stepper="operator", metric="nrmse"),
        decision=Decision(minimal_percent=5.0),
    )


def skip_connections() -> Study[Run]:
    """The corrector's layers with and without skip connections, three and six of them."""
    return Study[Run](
        question="Do skip connections help the corrector, and do they once it is deeper?",
        base=_golden(),
        variants={
            "without": ("corrector.network.kind=plain_mlp", "corrector.network.hidden_dim=64"),
            "six_layers": ("corrector.network.depth=6",),
            "six_without": (
                "corrector.network.kind=plain_mlp",
                "corrector.network.hidden_dim=64",
                "corrector.network.depth=6",
            ),
        },
        metric=_ensemble(),
        decision=Decision(minimal_percent=5.0),
    )


def _world() -> Run:
    """Controlled Burgers on 32 cells, 8 tokens of 4 numbers, 700 updates of 24 windows of 8 frames."""
    return override(
        worlds.controlled_burgers(),
        [
            *("data.num_trajectories=200", "data.num_cells=[32]", "data.num_frames=31"),
            *("codec={kind: identity, patch_size: 4}", "operator.width=16", "operator.modes=3"),
            *("training.seconds=null", "training.updates=200", "training.batch_size=20"),
            *("dynamics.context=8", "dynamics.num_levels=4", "dynamics.hidden_dim=48"),
            *("dynamics_training.seconds=null", "dynamics_training.updates=700"),
            *("dynamics_training.batch_size=24", "dynamics_training.unroll=[[0,8]]"),
        ],
    )


def _searched(run: Run) -> Run:
    """The light search of the reports by the residual, whether calibration lets it or not."""
    search = SearchSettings(
        num_candidates=8, beam=3, horizon=2, max_calls=250, rewards={"residual": 1.0}, force=True
    )
    return merge(run, {"search": search.model_dump()})


def _golden() -> Run:
    """Golden on 64 cells: 8 tokens of 16 numbers, a U-transformer of width 48, 20 windows in an update."""
    return override(
        burgers.golden(),
        [
            *("data.nu=[0.01]", "data.num_trajectories=200", "data.num_cells=64", "data.num_frames=21"),
            *("operator.hidden_dim=48", "operator.num_heads=4", "operator.group_size=16"),
            *(
                "corrector.network.hidden_dim=64",
                "corrector.num_steps=4",
                "num_members=8",
                "solver_cells=[64]",
            ),
            *("codec_training.updates=400", "codec_training.batch_size=20"),
            *("training.updates=1500", "training.batch_size=20", "training.schedule=cosine"),
            "training.num_validations=3",
            *("corrector_training.updates=800", "corrector_training.batch_size=20"),
            "corrector_training.learning_rate=3e-4",
        ],
    )


def _ensemble() -> PrimaryMetric:
    return PrimaryMetric(protocol="pdebench", stepper="corrector", metric="fair_crps")
