"""What is wrong with the runs of a study, whatever its verdicts say: copies, seeds too alike, errors that cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float

from ups.studies.folder import StudyFolder, VariantRuns

CEILING = "codec ceiling"
"""The error of the codec alone, as rows call it."""
RARE = 0.005
"""How often independent runs may agree so closely."""


def alarms(study: StudyFolder) -> Iterator[str]:
    """Yield what the trainings found wrong with themselves, seeds that agree too well, and errors that cannot be."""
    metric = study.design.metric
    for runs in study.variants:
        said = {
            f"{name}: {stage['finding']}"
            for record in runs.records
            for name, stage in record.get("stages", {}).items()
            if stage.get("finding")
        }
        for finding in sorted(said):
            yield f"{runs.name}, training of {finding}"
        if is_too_alike(runs.scores):
            yield (
                f"{runs.name}: its seeds agree more closely than their test trajectories scatter, which independent "
                "runs do once in two hundred studies; see that each was trained by itself."
            )
        if not (metric.smaller_is_better and runs.has(CEILING)):
            continue
        if (runs.scores.mean(1) < runs.of(CEILING).scores.mean(1)).any():
            yield (
                f"{runs.name}: its error lies below that of the codec alone, which no forecast in its space can; "
                "something is scored that was seen, or another thing than is said."
            )


def copies(runs: VariantRuns) -> tuple[int, int] | None:
    """Return two seeds whose runs agree to the last bit on every test trajectory, or None."""
    seen: dict[bytes, int] = {}
    for seed, scores in zip(runs.seeds, runs.scores, strict=True):
        first = seen.setdefault(scores.tobytes(), seed)
        if first != seed and scores.size > 1:
            return first, seed
    return None


def is_too_alike(scores: Float[np.ndarray, "seed trajectory"]) -> bool:
    """Return whether the means of the seeds lie closer together than chance lets independent runs.

    If seeds are independent and differ by nothing but what each makes of a trajectory, n sum_s (m_s - m)^2 / v is
    distributed as chi squared with s - 1 degrees of freedom, for the means m_s over n trajectories and the variance v
    of what seeds and trajectories do not explain; where seeds differ as a whole too it is larger. What is as small or
    smaller with a chance below `RARE` is too alike. Two seeds, or scores that are not finite, tell nothing.
    """
    num_seeds, num_trajectories = scores.shape
    if num_seeds < 3 or num_trajectories < 2 or not np.isfinite(scores).all():
        return False
    rest = scores - scores.mean(1, keepdims=True) - scores.mean(0) + scores.mean()
    variance = float((rest**2).sum()) / ((num_seeds - 1) * (num_trajectories - 1))
    if variance == 0.0:
        return False  # copies, or a metric without noise: said elsewhere
    apart = num_trajectories * float(((scores.mean(1) - scores.mean()) ** 2).sum()) / variance
    chance = torch.special.gammainc(torch.tensor((num_seeds - 1) / 2), torch.tensor(apart / 2))
    return chance.item() < RARE
