"""Protocols: what a stepper is shown, what it must forecast, and which number ranks it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ups.types import Stepper


@dataclass(frozen=True)
class Protocol:
    """A way to question a stepper. Numbers of two protocols never share a column of a table.

    `num_context` true frames are shown and every later frame is scored; with `from_middle`, those of the second half of
    a trajectory, and the frames before them are shown. After `horizon` forecast frames the truth
    is shown again, `num_context` frames of it; None is a rollout to the end of the trajectory. `primary` names the
    metric that ranks steppers under this protocol, `ranking` says how to read it.
    """

    name: str
    num_context: int
    horizon: int | None
    primary: str
    task: str
    ranking: str = ""
    from_middle: bool = False

    def first(self, num_frames: int) -> int:
        """Return the place of the first frame that is scored, in trajectories of `num_frames`."""
        return num_frames // 2 if self.from_middle else self.num_context

    @property
    def description(self) -> str:
        """What is asked and what ranks, on one line."""
        return "; ".join(filter(None, (self.task, self.ranking)))


PDEBENCH = Protocol(
    name="pdebench",
    num_context=10,
    horizon=None,
    primary="nrmse",
    task="rollout from 10 true frames; frames 10 and later scored",
    ranking="error relative to each frame's truth",
)
"""PDEBench (arXiv:2210.07182; code since issue #41, which took the context frames out of the score)."""

FROM_INITIAL = Protocol(
    name="from_initial",
    num_context=1,
    horizon=None,
    primary="relative_l2",
    task="rollout from the initial frame alone; every later frame scored",
    ranking="error relative to the trajectory",
)
"""The task of CALM-PDE, latent neural operators and AROMA: from the initial condition to the whole trajectory."""

ONE_STEP = Protocol(
    name="one_step",
    num_context=10,
    horizon=1,
    primary="nrmse",
    task="each frame from 10 on predicted from true frames, one step ahead; no error accumulates",
)
"""The same frames as `PDEBENCH`, so that the two differ by the accumulation of errors alone."""

MIDDLE = Protocol(
    name="middle",
    num_context=10,
    horizon=None,
    primary="nrmse",
    task="rollout from 10 true frames before the middle of the trajectory; its second half scored",
    ranking="error relative to each frame's truth",
    from_middle=True,
)
"""What a forecast is worth that does not begin where the data began: fronts are there already, nothing is smooth."""

PROTOCOLS = (PDEBENCH, FROM_INITIAL, MIDDLE, ONE_STEP)


def ranked_by_crps(protocol: Protocol) -> Protocol:
    """Return the same question, ranked by the fair CRPS.

    It is a proper score, in units of the field: no forecast can gain by stating another distribution than it
    believes in, and point forecasts and ensembles of any size can stand in one table.
    """
    ranking = "ranked by the fair CRPS in units of the field, which of a point forecast is the absolute error"
    return replace(protocol, primary="fair_crps", ranking=ranking)


def obstacle(protocol: Protocol, stepper: Stepper, num_frames: int) -> str:
    """Return why a stepper cannot be scored under a protocol on trajectories of `num_frames`; "" if it can."""
    if stepper.num_context > protocol.num_context:
        return f"needs {stepper.num_context} context frames, the protocol gives {protocol.num_context}"
    if num_frames <= protocol.num_context:
        return (
            f"the data have {num_frames} frames, the protocol takes {protocol.num_context} of them as context"
        )
    if protocol.first(num_frames) <= protocol.num_context and protocol.from_middle:
        return (
            f"the first half of {num_frames} frames is no longer than the context of {protocol.num_context}"
        )
    return ""
