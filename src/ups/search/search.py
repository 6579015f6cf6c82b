"""Search at test time: several candidates for the next frame, scored without the truth; the best is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest
from ups.search.calls import affordable, network_calls
from ups.search.judge import Judge, JudgeManifest
from ups.search.known import built, stated
from ups.search.rewards import Frames, Params, Reward
from ups.search.settings import SearchSettings
from ups.search.states import joined, repeated, rows_of
from ups.types import Stepper


class SearchManifest(Manifest):
    """From what a search was built."""

    kind: Literal["search"] = "search"
    settings: SearchSettings
    """How it searches."""
    steppers: tuple[dict[str, Any], ...]
    """What draws candidates."""
    counts: tuple[int, ...]
    """How many each draws."""
    judge: JudgeManifest
    """What chooses among them."""

    def build(self) -> Search:
        """Return the search, its numbers still to be restored."""
        steppers = [built(manifest) for manifest in self.steppers]
        return Search(steppers, self.counts, self.judge.build(), self.settings)


class SearchState(NamedTuple):
    """The state of what is searched over, its frame and its parameters."""

    inner: Any
    frame: Frames
    params: Params


class Step(NamedTuple):
    """One frame of a search: where it went, and why."""

    state: SearchState
    rewards: Float[Tensor, "candidate batch"]
    """Of every candidate for the next frame."""
    chosen: Int[Tensor, " batch"]
    """Which one each trajectory took."""
    calls: Int[Tensor, " batch"]
    """Calls of networks that its choice cost."""


class Search(nn.Module):
    """A Stepper around steppers: of many candidates each trajectory takes the one with the best reward.

    `counts` says how many candidates each of the `steppers` draws; their states are of one kind. With a beam, the best
    `beam` first candidates are continued to `horizon` frames, by the best `beam` continuations at each, and the first
    step of the path whose discounted rewards sum to the most is taken. Of a budget of calls, the first candidates take
    what they need, and looking ahead what is left.

    All candidates of all trajectories are advanced as one batch. One candidate and no more is the stepper itself.

    Raises:
        ValueError: the budget does not pay for a single candidate.
    """

    def __init__(
        self,
        steppers: Sequence[Stepper],
        counts: Sequence[int],
        judge: Reward,
        settings: SearchSettings,
    ) -> None:
        super().__init__()
        self.settings, self.judge, self.asked = settings, judge, tuple(counts)
        self.steppers, self.each = (
            tuple(steppers),
            nn.ModuleList([s for s in steppers if isinstance(s, nn.Module)]),
        )
        self.costs = tuple(network_calls(stepper) + getattr(judge, "calls", 0) for stepper in steppers)
        self.counts = affordable(counts, self.costs, settings.max_calls)
        self.beam = min(settings.beam, sum(self.counts))
        left = None if settings.max_calls is None else settings.max_calls - self._calls(self.counts)
        self.ahead: list[tuple[int, ...]] = []
        for _ in range(settings.horizon - 1):
            counts_here = self.counts
            if left is not None:
                if left // self.beam < min(self.costs):
                    break
                counts_here = affordable(self.counts, self.costs, left // self.beam)
                left -= self.beam * self._calls(counts_here)
            self.ahead.append(counts_here)
        self.fields = getattr(steppers[0], "fields", None)
        self.num_context = max(stepper.num_context for stepper in steppers)
        self.frames_read = max(getattr(s, "frames_read", s.num_context) for s in steppers)

    @property
    def num_candidates(self) -> int:
        """Candidates for the next frame."""
        return sum(self.counts)

    @property
    def calls_per_frame(self) -> int:
        """Calls of networks a frame, at most."""
        return self._calls(self.counts) + sum(self.beam * self._calls(counts) for counts in self.ahead)

    def encode(self, context: Float[Tensor, "batch time field *grid"], params: Params) -> SearchState:
        """Return the state at the last frame of the context."""
        inner = self.steppers[0].encode(context, params)
        return SearchState(inner, self.steppers[0].decode(inner), params)

    def advance(self, state: SearchState, generator: Generator | None = None) -> SearchState:
        """Return the state one frame later: each trajectory's own choice."""
        return self.step(state, generator).state

    def decode(self, state: SearchState) -> Frames:
        """Return the state's frame in physical units."""
        return state.frame

    def step(self, state: SearchState, generator: Generator | None = None) -> Step:
        """Return one frame of the search with what was weighed."""
        batch = len(state.frame)
        made, rewards = self._expand(state, self.counts, generator)
        calls = torch.full((batch,), self._calls(self.counts), device=rewards.device)
        chosen = rewards.argmax(0)
        if self.ahead and self.beam > 1:
            open_rows = self._undecided(rewards)
            if len(open_rows):
                ahead = self._look_ahead(made, rewards, open_rows, batch, generator)
                chosen[open_rows] = ahead
                calls[open_rows] += self.calls_per_frame - self._calls(self.counts)
        index = chosen * batch + torch.arange(batch, device=chosen.device)
        return Step(rows_of(made, index), rewards, chosen, calls)

    def manifest(self) -> SearchManifest:
        """Return everything but the numbers that is needed to build this search again."""
        return SearchManifest(
            settings=self.settings,
            steppers=tuple(stated(stepper) for stepper in self.steppers),
            counts=self.asked,
            judge=cast(Judge, self.judge).manifest(),
        )

    def _expand(
        self, state: SearchState, counts: Sequence[int], generator: Generator | None
    ) -> tuple[SearchState, Float[Tensor, "candidate batch"]]:
        """Return all candidates as rows (candidate, batch), and their rewards."""
        parts = []
        for stepper, count in zip(self.steppers, counts, strict=True):
            if count:
                inner = stepper.advance(repeated(state.inner, count), generator)
                parts.append(SearchState(inner, stepper.decode(inner), repeated(state.params, count)))
        made = joined(parts)
        before = repeated(state.frame, sum(counts))
        score = (
            self.judge(before, made.frame, made.params) if sum(counts) > 1 else before.new_zeros(len(before))
        )
        # a candidate that is not finite is never the best
        return made, score.nan_to_num(nan=-torch.inf, neginf=-torch.inf).unflatten(0, (sum(counts), -1))

    def _undecided(self, rewards: Float[Tensor, "candidate batch"]) -> Int[Tensor, " row"]:
        if self.settings.clear is None:
            return torch.arange(rewards.shape[1], device=rewards.device)
        best = rewards.topk(2, 0).values
        return (best[0] - best[1] <= self.settings.clear * rewards.std(0)).nonzero()[:, 0]

    def _look_ahead(
        self,
        made: SearchState,
        rewards: Float[Tensor, "candidate batch"],
        rows: Int[Tensor, " row"],
        batch: int,
        generator: Generator | None,
    ) -> Int[Tensor, " row"]:
        """Return the first candidate of the best path of each of some trajectories."""
        totals, first = rewards[:, rows].topk(self.beam, 0)
        paths = rows_of(made, (first * batch + rows).flatten())
        for depth, counts in enumerate(self.ahead, 1):
            tried, gained = self._expand(paths, counts, generator)  # rows (candidate, path, row)
            gained = gained.reshape(sum(counts) * self.beam, len(rows))
            reached = totals.repeat(sum(counts), 1) + self.settings.discount**depth * gained
            totals, kept = reached.topk(self.beam, 0)
            first = first.gather(0, kept % self.beam)
            paths = rows_of(tried, (kept * len(rows) + torch.arange(len(rows), device=rows.device)).flatten())
        return first.gather(0, totals.argmax(0, keepdim=True))[0]

    def _calls(self, counts: Sequence[int]) -> int:
        return sum(count * cost for count, cost in zip(counts, self.costs, strict=True))


@torch.no_grad()
def traced(
    search: Search,
    context: Float[Tensor, "batch time field *grid"],
    params: Params,
    num_steps: int,
    generator: Generator | None = None,
) -> Iterator[Step]:
    """Yield every step of a rollout of a search."""
    state = search.encode(context, params)
    for _ in range(num_steps):
        step = search.step(state, generator)
        state = step.state
        yield step
