"""Losses, each one number a sample: the weighted squared error of an estimate of x0, averaged over all other axes.

All are written in x0-space: no division by a small time, no clamp, no loss of precision in half floats. The error
of the network's own output is the same thing with the weight divided by c_out^2.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ups.diffusion.denoiser import Posterior
from ups.diffusion.flow_maps import FlowMap, Jumper, noise_ratio
from ups.diffusion.process import NoiseProcess, expand
from ups.diffusion.weighting import Weighting


def denoising(
    denoiser: Posterior,
    x0: Float[Tensor, " batch *shape"],
    noise: Float[Tensor, " batch *shape"],
    t: Float[Tensor, " batch *level"],
    weighting: Weighting,
) -> Float[Tensor, " batch"]:
    """Return the mean of w(logSNR) (x0_hat - x0)^2 for x0 corrupted to `t`."""
    x_t = denoiser.process.corrupt(x0, noise, t)
    return _weighted(denoiser.process, denoiser(x_t, t), x0, t, weighting)


def consistency(
    student: Jumper,
    target: Jumper,
    teacher: FlowMap,
    x_t: Float[Tensor, " batch *shape"],
    t: Float[Tensor, " batch *level"],
    s: Float[Tensor, " batch *level"],
    weighting: Weighting,
) -> Float[Tensor, " batch"]:
    """Ask that jumping to the data from x_t and from the teacher's x_s land on the same point.

    Mean of w (student(x_t, t, 0) - target(teacher(x_t, t, s), s, 0))^2, without gradient through the second.
    `target` is the student's moving average or the student itself. The boundary at t = 0 holds by construction.
    A small value is no evidence of quality: neighbouring points always agree to O((t - s)^2).
    Source: Song et al., arXiv:2303.01469, algorithm 2.
    """
    data = torch.zeros_like(t)
    with torch.no_grad():
        goal = target(teacher(x_t, t, s), s, data)
    return _weighted(student.process, student(x_t, t, data), goal, t, weighting)


def shortcut(
    student: Jumper,
    target: Jumper,
    x0: Float[Tensor, " batch *shape"],
    noise: Float[Tensor, " batch *shape"],
    t: Float[Tensor, " batch *level"],
    s: Float[Tensor, " batch *level"],
    smallest: Bool[Tensor, " batch *level"],
    weighting: Weighting,
) -> Float[Tensor, " batch"]:
    """Ask that one hop from `t` to `s` equal two half hops, and that the smallest hops point at the data.

    On the linear path this equals t^2 times Dreamer 4's squared difference of velocities.
    Source: Frans et al., arXiv:2410.12557; Hafner et al., arXiv:2509.24527, equation 7.
    """
    x_t = student.process.corrupt(x0, noise, t)
    with torch.no_grad():
        goal = torch.where(expand(smallest.to(x0.dtype), x0) > 0, x0, two_half_hops(target, x_t, t, s))
    return _weighted(student.process, student.x0(x_t, t, s), goal, t, weighting)


def two_half_hops(
    jump: Jumper, x_t: Float[Tensor, "*shape"], t: Float[Tensor, "*level"], s: Float[Tensor, "*level"]
) -> Float[Tensor, "*shape"]:
    """Return the x0 with which one hop lands where two hops, over the time halfway, land.

    x0' + a (x0'' - x0') with a = (alpha_s - alpha_m r_ms) / (alpha_s - alpha_t r_ts), r_ts = sigma_s / sigma_t;
    on the linear path a = t / (t + s), between 1/2 and 1.
    """
    process, m = jump.process, (t + s) / 2
    first = jump.x0(x_t, t, m)
    second = jump.x0(jump(x_t, t, m), m, s)
    (alpha_t, _), (alpha_m, _), (alpha_s, _) = (process.scales_for(time, x_t) for time in (t, m, s))
    whole = alpha_s - alpha_t * noise_ratio(process, x_t, t, s)
    half = alpha_s - alpha_m * noise_ratio(process, x_t, m, s)
    return first + half / whole * (second - first)


def _weighted(
    process: NoiseProcess, estimate: Tensor, goal: Tensor, t: Tensor, weighting: Weighting
) -> Float[Tensor, " batch"]:
    weight = expand(weighting(process.logsnr(t)), goal)
    return (weight * (estimate - goal) ** 2).flatten(1).mean(1)
