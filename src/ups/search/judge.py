"""The judge of a search: weighted rewards of what is known of the data, and a critic if it was fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from ups.checkpoint import Manifest
from ups.search.critic import Critic, Features
from ups.search.known import Known, KnownManifest
from ups.search.rewards import Frames, Params, Reward, RewardName, Score, available, require


class JudgeManifest(Manifest):
    """From what a judge was built."""

    kind: Literal["judge"] = "judge"
    known: KnownManifest
    """What rewards may know."""
    factors: dict[RewardName, float]
    """Weight over unit of each reward."""
    critic: tuple[float, ...] = ()
    """Weights of the critic, if it was fitted."""

    def build(self) -> Judge:
        """Return the judge."""
        return Judge(self.known.build(), self.factors, self.critic)


class Judge(nn.Module):
    """A reward: sum of factor x reward, the factors weights over the units of each."""

    def __init__(
        self, known: Known, factors: Mapping[RewardName, float], critic: tuple[float, ...] = ()
    ) -> None:
        super().__init__()
        self.known, self.factors, self.critic = known, dict(factors), critic
        self.rewards: dict[RewardName, Reward] = rewards_of(known)
        if critic:
            self.rewards["critic"] = Critic(features_of(known), torch.tensor(critic, dtype=torch.float64))
        require(factors, self.rewards)

    @property
    def calls(self) -> int:
        """How many networks, or what stands for one, are called for a candidate."""
        return int("critic" in self.factors)

    def forward(self, before: Frames, after: Frames, params: Params) -> Score:
        """Return one number for each row."""
        scores = [factor * self.rewards[name](before, after, params) for name, factor in self.factors.items()]
        return torch.stack(scores).sum(0)

    def manifest(self) -> JudgeManifest:
        """Return what is needed to build it again."""
        return JudgeManifest(known=self.known.manifest(), factors=self.factors, critic=self.critic)


def rewards_of(known: Known) -> dict[RewardName, Reward]:
    """Return every reward that can be asked of the data, but for the critic."""
    return available(known.fields, known.residual)


def features_of(known: Known) -> Features:
    """Return what a critic sees of a step."""
    return Features(rewards_of(known), known.fields.grid)
