"""Bugs to plant: each a line of the source, what it becomes, and the tests of which one must then fail.

Most are bugs that no test caught once, where the code that they stood in still exists; the others undo what keeps a run
or a file from harm.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One bug."""

    name: str
    file: str
    old: str
    new: str
    tests: str


WIRING = "tests/runs/test_wiring.py"
PIPELINE = "src/ups/runs/pipeline.py"
RUNGS = "src/ups/runs/rungs.py"
UPDATE = "src/ups/training/update.py"
STEPPER = "src/ups/solvers/stepper.py"
LAW = "src/ups/models/flux_law.py"
IMAGES = "tests/images"
BEFORE_LAW = "how.noise)\n\n\n@dataclass(frozen=True)\nclass LawSpec"

MUTANTS = (
    # which split reaches what
    Mutant(
        "weights are selected on the test split",
        PIPELINE,
        "validation = work.splits.validation.to(",
        "validation = work.splits.test.to(",
        WIRING,
    ),
    Mutant(
        "the normalizer is fitted on the test split",
        PIPELINE,
        "fit_normalizer(splits.train)",
        "fit_normalizer(splits.test)",
        WIRING,
    ),
    Mutant(
        "what rungs take for training data are the test data",
        PIPELINE,
        "Below(splits.train, splits.validation,",
        "Below(splits.test, splits.validation,",
        WIRING,
    ),
    Mutant(
        "grids, powers and spectra are chosen on the test split",
        PIPELINE,
        "Below(splits.train, splits.validation,",
        "Below(splits.train, splits.test,",
        WIRING,
    ),
    Mutant(
        "training windows are drawn from the test split",
        PIPELINE,
        "stage,\n            work.splits.train,",
        "stage,\n            work.splits.test,",
        WIRING,
    ),
    Mutant(
        "the watch for overfitting looks at training data",
        PIPELINE,
        "held_out=validation,",
        "held_out=work.splits.train,",
        WIRING,
    ),
    Mutant(
        "the corrector is scaled by its training residuals",
        RUNGS,
        "validation = below.on_device(below.validation)\n        spectrum",
        "validation = below.on_device(below.train)\n        spectrum",
        WIRING,
    ),
    Mutant(
        "the corrector is judged on training data",
        RUNGS,
        "found = judge(Correct(self.name, stepper), train, validation,",
        "found = judge(Correct(self.name, stepper), train, train,",
        WIRING,
    ),
    Mutant(
        "the student is judged on training data",
        RUNGS,
        "found = judge_student(stepper, teacher, validation,",
        "found = judge_student(stepper, teacher, train,",
        WIRING,
    ),
    Mutant(
        "the ladder is scored on the validation split",
        PIPELINE,
        "work.splits.test.to(distributed.device())\n    specs",
        "work.splits.validation.to(distributed.device())\n    specs",
        f"{WIRING} tests/runs/test_pipeline.py",
    ),
    Mutant(
        "climatology knows the validation split",
        RUNGS,
        "Climatology(below.train.values[:, -1].clone(), below.train.params)",
        "Climatology(below.validation.values[:, -1].clone(), below.validation.params)",
        WIRING,
    ),
    Mutant(
        "what was validated on may be scored later",
        PIPELINE,
        "known = {*initial_hashes(parts[0]), *initial_hashes(parts[1])}",
        "known = {*initial_hashes(parts[0])}",
        "tests/runs/test_seen.py tests/runs/test_reevaluate.py",
    ),
    # equal treatment
    Mutant(
        "each stage draws batches of its own",
        UPDATE,
        'stream(self.seed, "batch", update)',
        'stream(self.seed, f"batch/{self.stage.name}", update)',
        WIRING,
    ),
    Mutant(
        "the augmentation is never applied",
        UPDATE,
        "symmetries.augment(windows, self.settings.symmetries, generator).to(",
        "windows.to(",
        WIRING,
    ),
    Mutant(
        "baselines learn one step only",
        RUNGS,
        f"how.unroll, {BEFORE_LAW}",
        f"((0.0, 1),), {BEFORE_LAW}",
        WIRING,
    ),
    Mutant(
        "the rate of learning is a tenth",
        "src/ups/training/optim.py",
        "return settings.learning_rate",
        "return 0.1 * settings.learning_rate",
        "tests/training/test_optim.py",
    ),
    # rungs
    Mutant(
        "the solver solves on twice the named cells",
        STEPPER,
        "resized(*(max(1, round(num_cells",
        "resized(*(max(1, round(2 * num_cells",
        "tests/solvers/test_stepper.py",
    ),
    Mutant(
        "the solver loses its spin-up on finer grids",
        STEPPER,
        "self.frames_read = 10 if",
        "self.frames_read = 1 if",
        "tests/solvers/test_stepper.py",
    ),
    Mutant(
        "the solver takes samples for averages",
        STEPPER,
        "self.reads_points = samples_are_points and",
        "self.reads_points = False and",
        "tests/solvers/test_stepper.py",
    ),
    Mutant(
        "the solver is always the coarsest",
        "src/ups/evaluation/ladder.py",
        "<= target",
        "<= float('inf')",
        "tests/evaluation/test_ladder.py",
    ),
    Mutant("the codec moves under the operator", PIPELINE, "codec.requires_grad_(False)", "pass", WIRING),
    Mutant(
        "the seed does not reach the weights",
        RUNGS,
        "return stream(self.seed, name, counter)",
        "return stream(0, name, counter)",
        WIRING,
    ),
    # physics
    Mutant(
        "the flux law ignores the parameters",
        LAW,
        "affine = torch.cat([params.new_ones(len(params), 1), params], 1)",
        "affine = torch.cat([params.new_ones(len(params), 1), 0 * params], 1)",
        "tests/models/test_flux_law.py",
    ),
    Mutant(
        "the flux law halves the diffusion",
        LAW,
        "dt * diffusion)",
        "dt * diffusion / 2)",
        "tests/models/test_flux_law.py",
    ),
    Mutant(
        "the flux law moves by the square of dt",
        LAW,
        "dt[:, None] * speed",
        "dt[:, None] ** 2 * speed",
        "tests/models/test_flux_law.py",
    ),
    Mutant(
        "the flux law takes two steps a frame",
        LAW,
        "dt[:, None] * speed, dt * diffusion)",
        "2 * dt[:, None] * speed, 2 * dt * diffusion)",
        "tests/models/test_flux_law.py",
    ),
    Mutant(
        "a law in terms counts a step twice",
        "src/ups/models/spectral_law.py",
        "h, kind = 1 / self.num_steps,",
        "h, kind = 2 / self.num_steps,",
        "tests/models/test_spectral_law.py",
    ),
    Mutant(
        "a law in terms forgets the parameters",
        "src/ups/models/spectral_law.py",
        "affine = torch.cat([distinct.new_ones(len(distinct), 1), distinct], 1)",
        "affine = torch.cat([distinct.new_ones(len(distinct), 1), 0 * distinct], 1)",
        "tests/models/test_spectral_law.py tests/models/test_law_search.py",
    ),
    Mutant(
        "a conserved field leaks through the pull of a context",
        STEPPER,
        "means = differs.flatten(2).mean(2) * self.conserved.to(differs)",
        "means = 0 * differs.flatten(2).mean(2) * self.conserved.to(differs)",
        "tests/solvers/test_stepper.py",
    ),
    # diffusion
    Mutant(
        "the weighting of images is ignored",
        "src/ups/images/stage.py",
        "loss = denoising(self.denoiser, x0, noise, t, self.weighting)",
        "loss = denoising(self.denoiser, x0, noise, t, snr())",
        f"{IMAGES}/test_stage.py {IMAGES}/test_bench.py",
    ),
    # evidence
    Mutant(
        "the interval of a mean ignores seeds",
        "src/ups/statistics/bootstrap.py",
        "float64))\n    mean = float(grid.mean())",
        "float64)).mean(0, keepdims=True)\n    mean = float(grid.mean())",
        "tests/statistics",
    ),
    Mutant(
        "an ensemble's cost is divided by its members",
        "src/ups/evaluation/cost.py",
        "ms_per_frame=1e3 * batched / (len(batch) * num_frames)",
        "ms_per_frame=1e3 * batched / (len(batch) * num_frames * num_members)",
        "tests/evaluation/test_cost.py",
    ),
    Mutant(
        "the seconds of training are dropped",
        PIPELINE,
        "done[spec.name].seconds, spec.num_members)",
        "0.0, spec.num_members)",
        WIRING,
    ),
    Mutant(
        "planned seconds are reported as measured",
        "src/ups/training/fit.py",
        "seconds=round(state.seconds, 3),",
        "seconds=plan.seconds or round(state.seconds, 3),",
        "tests/training/test_fit.py",
    ),
    Mutant(
        "a trace per weight is not divided",
        "src/ups/probes/curvature.py",
        '"trace_per_weight": self.trace.mean / self.mean_weight',
        '"trace_per_weight": self.trace.mean',
        "tests/probes/test_curvature.py",
    ),
    Mutant(
        "persistence of a forecast is zero",
        "src/ups/training/stages.py",
        "persistence = context[:, -1:].expand_as(truth)",
        "persistence = 0 * context[:, -1:].expand_as(truth)",
        "tests/training/test_stages.py",
    ),
    Mutant(
        "the linear denoiser is too easy a trivial predictor",
        "src/ups/training/corrector_stages.py",
        'return loss, {"trivial": linear}',
        'return loss, {"trivial": 2 * linear}',
        "tests/training/test_corrector_stages.py",
    ),
    # store
    Mutant(
        "a stage's digest forgets the content of the data",
        PIPELINE,
        "digest=digest([work.splits.digest, *parts])",
        "digest=digest([*parts])",
        "tests/runs/test_pipeline.py",
    ),
    Mutant(
        "weights that are not the model's are loaded",
        "src/ups/checkpoint.py",
        "model.load_state_dict(tensors)",
        "model.load_state_dict(tensors, strict=False)",
        "tests/test_checkpoint.py",
    ),
    Mutant(
        "a resumed stage keeps the rows of updates that it makes again",
        "src/ups/training/fit.py",
        "shelf.rewind(state.update)",
        "pass",
        "tests/training/test_fit.py",
    ),
    Mutant(
        "a damaged checkpoint is resumed",
        "src/ups/training/store.py",
        'if metadata.get("sha256") == _content(tensors, metadata["numbers"]):',
        "if True:",
        "tests/training/test_store.py",
    ),
    Mutant(
        "a copy in disguise is new",
        "src/ups/data/likeness.py",
        "if distance[best] < tolerance:",
        "if distance[best] < 0:",
        "tests/data/test_likeness.py",
    ),
    Mutant(
        "an input may be an output",
        "src/ups/files.py",
        "path.samefile(given) for given in inputs",
        "False for given in inputs",
        "tests/test_files.py",
    ),
    # what a search may know, and what it pays
    Mutant(
        "search: one choice for the whole batch",
        "src/ups/search/search.py",
        "chosen = rewards.argmax(0)\n",
        "chosen = rewards.argmax(0)[:1].expand(batch).clone()\n",
        "tests/search/test_search.py",
    ),
    Mutant(
        "search: the worst candidate is taken",
        "src/ups/search/search.py",
        "chosen = rewards.argmax(0)\n",
        "chosen = rewards.argmin(0)\n",
        "tests/search/test_search.py",
    ),
    Mutant(
        "search: what looking ahead costs is not counted",
        "src/ups/search/search.py",
        "calls[open_rows] += self.calls_per_frame - self._calls(self.counts)",
        "pass",
        "tests/search/test_search.py",
    ),
    Mutant(
        "search: the reward is judged on the trajectories that chose it",
        "src/ups/search/choose.py",
        "choosing, judging = each[::2], each[1::2]",
        "choosing, judging = each[::2], each[::2]",
        "tests/search/test_choose.py",
    ),
    Mutant(
        "search: the distance from the mean is not taken out of the correlation",
        "src/ups/search/calibrate.py",
        "if distance is None:\n",
        "if True:\n",
        "tests/search/test_calibrate.py",
    ),
    Mutant(
        "search: the residual is the trapezoid's",
        "src/ups/models/step_residual.py",
        "(first + 4 * middle + last) / 6",
        "(first + last) / 2",
        "tests/models/test_step_residual.py",
    ),
    Mutant(
        "search: what is refused is scored all the same",
        PIPELINE,
        "if not done[spec.name].ready.refused]",
        "]",
        "tests/runs/test_search_rungs.py",
    ),
    # what a world model is told
    Mutant(
        "world: the action after a frame is told before it",
        "src/ups/training/dynamics_stages.py",
        "torch.cat([torch.zeros_like(actions[:, :1]), actions[:, :-1]], 1)",
        "actions",
        "tests/training/test_dynamics_stages.py",
    ),
    Mutant(
        "world: a prompt is read clean",
        "src/ups/models/dynamics.py",
        "x = self.process.corrupt(x, _normal(x, generator), t)",
        "x = x + 0 * _normal(x, generator)",
        "tests/models/test_dynamics.py",
    ),
    Mutant(
        "world: a frame sees the one after it",
        "src/ups/nets/block_causal.py",
        "hidden = other > own\n",
        "hidden = other > own + 1\n",
        "tests/nets/test_block_causal.py",
    ),
    Mutant(
        "world: cached frames begin at time zero again",
        "src/ups/nets/block_causal.py",
        "place = start[:, None] + torch",
        "place = 0 * start[:, None] + torch",
        "tests/nets/test_block_causal.py",
    ),
    Mutant(
        "control: the model's own forecast is what is scored",
        "src/ups/control/episodes.py",
        "state = solver(state, action)\n",
        "state = solver(state, 0 * action)\n",
        "tests/control/test_episodes.py",
    ),
    # planes
    Mutant(
        "plane: a wave that stands for its mirror counts once in the deviation",
        "src/ups/models/token_waves.py",
        "counts = counts + twice.reshape",
        "counts = counts + 0 * twice.reshape",
        "tests/models/test_token_waves.py",
    ),
    Mutant(
        "plane: the axes of a token grid are exchanged where walls are told",
        "src/ups/models/residual_nets.py",
        "COND_DIM, grid.walls)",
        "COND_DIM, grid.walls[::-1])",
        "tests/models/test_residual_nets.py",
    ),
    Mutant(
        "plane: a kick stands at the same place along every axis",
        "src/ups/solvers/kicks.py",
        "zip(grid.axes, (first, *others), strict=True)",
        "zip(grid.axes, (first,) * len(grid), strict=True)",
        "tests/solvers/test_kicks.py",
    ),
    Mutant(
        "plane: a balanced kick keeps its mean",
        "src/ups/solvers/kicks.py",
        "keepdim=True) if self.balanced else kick",
        "keepdim=True) if False else kick",
        "tests/solvers/test_kicks.py",
    ),
    Mutant(
        "plane: spectra of ensembles do not know of walls",
        "src/ups/evaluation/ensembles.py",
        "energy = power_spectrum(values, walls)",
        "energy = power_spectrum(values)",
        "tests/evaluation/test_ensembles.py tests/runs/test_pipeline.py",
    ),
    # the linear map
    Mutant(
        "linear: a forcing with a place is always taken",
        "src/ups/models/linear_map.py",
        "both[errors[1] < CLEARLY * errors[0]]",
        "both[True]",
        "tests/models/test_linear_map.py",
    ),
    # what a loss weighs, what a board shows
    Mutant(
        "loss: a field that died out outweighs all others",
        "src/ups/training/stages.py",
        "floor = floor.maximum(AT_REST * std",
        "floor = floor.maximum(0 * std",
        "tests/training/test_stages.py",
    ),
    Mutant(
        "board: rungs of other trajectories meet",
        "src/ups/studies/board.py",
        "(tested, protocol.name, protocol.metric),",
        '("", protocol.name, protocol.metric),',
        "tests/studies/test_board.py",
    ),
    Mutant(
        "board: the worst come first",
        "src/ups/studies/board.py",
        "ranked = sorted(scored, key=lambda each: (each",
        "ranked = sorted(scored, key=lambda each: (-each",
        "tests/studies/test_board.py",
    ),
    # further terms of the loss, variants of a world model, what a study concludes
    Mutant(
        "losses: the inverse of the encoder has no gradient",
        "src/ups/training/losses.py",
        "codec.encode(codec.decode(z)) - z.detach()",
        "codec.encode(codec.decode(z)).detach() - z.detach()",
        "tests/training/test_losses.py",
    ),
    Mutant(
        "losses: the codec that goes on learning is the one of all rungs",
        RUNGS,
        "codec = copy.deepcopy(below.codec).requires_grad_(True)",
        "codec = below.codec.requires_grad_(True)",
        "tests/training/test_losses.py",
    ),
    Mutant(
        "losses: weights are full from the first update on",
        "src/ups/training/stages.py",
        "if self.warmup else 1.0",
        "if False else 1.0",
        "tests/training/test_losses.py",
    ),
    Mutant(
        "losses: terms are logged and not trained",
        UPDATE,
        "total = total + weight * parts[name]",
        "total = total + 0 * parts[name]",
        "tests/training/test_losses.py",
    ),
    Mutant(
        "losses: the physics of a step are those of the next frame alone",
        "src/ups/training/losses.py",
        "left = self.residual(step.before, step.made, step.params)",
        "left = self.residual(step.made, step.made, step.params)",
        "tests/training/test_losses.py",
    ),
    Mutant(
        "losses: waves count by their power",
        "src/ups/training/losses.py",
        "shares * wrong / (truth + floor)",
        "shares * wrong / mean",
        "tests/training/test_losses.py",
    ),
    Mutant(
        "world: what keeps the noise of a context is given it again",
        "src/ups/models/dynamics.py",
        'not (self.settings.sampler == "to_context" and state.cache is not None)',
        "True",
        "tests/models/test_dynamics.py",
    ),
    Mutant(
        "world: ramped levels fall along the frames",
        "src/ups/training/dynamics_stages.py",
        "(ahead / (frames - start) / finest)",
        "((frames - start - ahead + 1) / (frames - start) / finest)",
        "tests/training/test_dynamics_stages.py",
    ),
    Mutant(
        "study: other metrics have a family of their own",
        "src/ups/studies/report.py",
        "        for metric in metrics\n    } | {",
        "        for metric in metrics[:1]\n    } | {",
        "tests/studies/test_report.py",
    ),
    Mutant(
        "study: seeds that agree too well pass",
        "src/ups/studies/alarms.py",
        "return chance.item() < RARE",
        "return False",
        "tests/studies/test_alarms.py",
    ),
)
