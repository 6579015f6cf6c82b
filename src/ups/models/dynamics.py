"""A world model: the next latent frame drawn from noise in a few calls, given earlier frames and actions.

Dreamer 4's recipe (Hafner et al., arXiv:2509.24527) in the time convention of `diffusion/`: 0 is data, 1 is noise.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt, model_validator
from torch import Generator, Tensor, nn

from ups.checkpoint import Manifest
from ups.diffusion.flow_maps import move, sample
from ups.diffusion.forcing import pyramid
from ups.diffusion.process import Linear, NoiseProcess
from ups.models.autoencoder import AutoencoderSettings, Codec
from ups.models.initialization import initialize
from ups.models.noise import Ramp, WeightingSettings
from ups.models.normalizer import Normalizer
from ups.models.sizes import AttentionSize
from ups.nets.block_causal import BlockCausal, Cache
from ups.types import Fields, UserError

Latents = Float[Tensor, "batch time token dim"]
Levels = Float[Tensor, "batch time"]


class WorldState(NamedTuple):
    """What a rollout carries: the frames that were read, those that wait to be, and the actions still to come."""

    cache: Cache | None
    """Keys and values of earlier frames."""
    pending: Latents
    """Clean latent frames that are not yet read; the last one is the present."""
    drawn: Latents
    """Frames after the present that were drawn with it."""
    taken: Float[Tensor, "batch time action"]
    """The action before each of them."""
    known: Bool[Tensor, "batch time"]
    """Whether it is known: before the first frame of a context it is not."""
    plan: Float[Tensor, "batch later action"]
    """The actions from the present on."""
    params: Float[Tensor, "batch param"]


class DynamicsSettings(AttentionSize):
    """The size of the transformer, its noise levels, how it is trained and how it is sampled."""

    kind: Literal["dynamics"] = "dynamics"
    hidden_dim: PositiveInt = 64
    num_heads: PositiveInt = 4
    num_kv_heads: PositiveInt = 2
    """Heads of keys and values, shared by those of queries."""
    depth: PositiveInt = 4
    """Blocks; each attends in space."""
    time_every: PositiveInt = 2
    """One block in so many attends in time."""
    num_registers: Annotated[int, Field(ge=0)] = 2
    """Learned tokens beside those of a frame."""
    context: Annotated[int, Field(ge=1)] = 12
    """Frames that are seen, the one that is drawn included; no more than a training window holds."""
    num_levels: Annotated[int, Field(ge=1, le=8)] = 5
    """The finest step is 2^-num_levels."""
    method: Literal["shortcut", "forcing", "full_sequence", "ramped", "regression"] = "shortcut"
    """Steps of every length, the long ones taught by two half ones; the finest step alone with a level a frame
    (diffusion forcing), one for all frames, or levels that rise along the frames after a context; or the mean of the
    next frame in one call, without noise."""
    bootstrap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of the windows whose frames learn a long step from two half ones."""
    alone: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the windows whose frames are trained as single images."""
    prompted: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of the windows in which all frames but the last have the noise of a context, as in a rollout."""
    context_noise: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Noise on frames that were drawn before, to the nearest level of the finest grid but the first."""
    weighting: WeightingSettings = Ramp()
    """How noise levels count in the loss."""
    sampler: Literal["euler", "fresh_noise", "to_context"] = "euler"
    """Hops that keep the noise that a state implies, or that draw it anew (which is wrong but for consistency maps); or
    that end at the noise of a context, so that a frame is read, and decoded, with what is left of its own noise."""
    num_calls: PositiveInt = 4
    """Calls of the network for a frame, a power of two."""
    ahead: Annotated[int, Field(ge=1, le=64)] = 1
    """Frames that are drawn together, before what was drawn is read."""
    stagger: Annotated[float, Field(ge=0, le=256)] = 2.0
    """Calls by which each of them begins after the one before: 0 draws all at once, num_calls one after the other."""

    @model_validator(mode="after")
    def _fits(self) -> DynamicsSettings:
        if self.num_calls & (self.num_calls - 1) or self.num_calls > 2**self.num_levels:
            raise ValueError(
                f"num_calls={self.num_calls} is no power of two up to 2^num_levels={2**self.num_levels}"
            )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads={self.num_heads} is no multiple of num_kv_heads={self.num_kv_heads}")
        if self.time_every > self.depth:
            raise ValueError(f"time_every={self.time_every} of depth={self.depth}: no block attends in time")
        return self

    def build(self, normalizer: Normalizer, codec: Codec, fields: Fields, generator: Generator) -> Dynamics:
        """Return the untrained world model; it forecasts the mean of the latents."""
        return initialize(lambda: Dynamics(self, normalizer, codec, fields), generator)


class Dynamics(nn.Module):
    """A Stepper that takes actions: p(next frame | earlier frames, actions), drawn by a few hops from noise.

    A frame is a few tokens of the codec, scaled to a deviation of 1, and beside them registers, a token of the action
    before it and of the parameters, and one of its noise level and of the length of the hop.
    """

    takes_actions = True
    num_context = 1
    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self, settings: DynamicsSettings, normalizer: Normalizer, codec: Codec, fields: Fields
    ) -> None:
        super().__init__()
        self.settings, self.normalizer, self.codec, self.fields = settings, normalizer, codec, fields
        dim, tokens = settings.hidden_dim, codec.num_tokens
        self.register_buffer("latent_mean", torch.zeros(codec.dim))
        self.register_buffer("latent_std", torch.ones(codec.dim))
        self.project_in = nn.Linear(codec.dim, dim)
        self.places = nn.Parameter(0.02 * torch.randn(tokens, dim))
        self.registers = nn.Parameter(0.02 * torch.randn(settings.num_registers, dim))
        self.no_action = nn.Parameter(0.02 * torch.randn(dim))
        self.action = nn.Linear(len(fields.actions), dim) if fields.actions else None
        self.param = nn.Linear(len(fields.params), dim) if fields.params else None
        self.level = nn.Embedding(2**settings.num_levels + 1, dim // 2)
        self.hop = nn.Embedding(settings.num_levels + 1, dim - dim // 2)
        self.body = BlockCausal(
            dim, settings.depth, settings.num_heads, settings.num_kv_heads, settings.time_every
        )
        self.project_out = nn.Linear(dim, codec.dim)
        nn.init.zeros_(self.project_out.weight)
        nn.init.zeros_(self.project_out.bias)

    @property
    def process(self) -> NoiseProcess:
        """The straight path."""
        return Linear()

    @property
    def frames_read(self) -> int:
        """Frames of a context, at most, that are seen."""
        return self.settings.context - 1 or 1

    @property
    def finest(self) -> float:
        """The length of the finest hop."""
        return 2.0**-self.settings.num_levels

    @property
    def context_level(self) -> float:
        """The noise of frames that were drawn before: a level that is trained."""
        return max(1, round(self.settings.context_noise / self.finest)) * self.finest

    @property
    def calls_per_frame(self) -> int:
        """Calls of the network a frame: the hops, and one that reads the frame before."""
        if self.settings.method == "regression":
            return 2
        return -(-len(self._levels(self.settings.ahead)) // self.settings.ahead)

    def latents(self, values: Float[Tensor, "batch time field *grid"]) -> Latents:
        """Return frames in physical units as tokens of deviation 1."""
        frames = self.normalizer.normalize(values.flatten(0, 1))
        tokens = self.codec.encode(frames).unflatten(0, values.shape[:2])
        return (tokens - self.latent_mean) / self.latent_std

    def denoise(
        self,
        x_t: Latents,
        t: Levels,
        s: Levels,
        taken: Float[Tensor, "batch time action"],
        known: Bool[Tensor, "batch time"],
        params: Float[Tensor, "batch param"],
        cache: Cache | None = None,
        alone: Bool[Tensor, " batch"] | None = None,
    ) -> tuple[Latents, Cache]:
        """Return the estimate of the data with which a hop from `t` lands at `s`, and the cache with these frames.

        `params` are normalized; `taken` is the action before each frame, ignored where it is not `known`.
        """
        act = self.no_action.expand(*x_t.shape[:2], -1)
        if self.action is not None:
            act = torch.where(known[..., None], self.action(taken), act)
        if self.param is not None:
            act = act + self.param(params)[:, None]
        level = torch.cat([self.level(self._level(t)), self.hop(self._hop(t, s))], -1)
        extra = torch.stack([act, level], 2)
        registers = self.registers.expand(*x_t.shape[:2], -1, -1)
        tokens = torch.cat([self.project_in(x_t) + self.places, registers, extra], 2)
        read, cache = self.body(tokens, cache, alone, self.settings.context)
        return self.project_out(read[:, :, : x_t.shape[2]]), cache

    def encode(
        self,
        context: Float[Tensor, "batch time field *grid"],
        params: Float[Tensor, "batch param"],
        actions: Float[Tensor, "batch later action"] | None = None,
    ) -> WorldState:
        """Return the state at the last frame of the context.

        `actions` begin with the one after the first frame of the context, and go on as far as the forecast will.

        Raises:
            UserError: the data have actions and none are given, they are of another number, or fewer than the context.
        """
        actions = self._checked(actions, context)
        length = context.shape[1]
        read = min(length, self.frames_read)
        before = actions[:, length - read : length - 1]
        unknown = before.new_zeros(len(context), 1, actions.shape[2])
        known = torch.ones(len(context), read, dtype=torch.bool, device=context.device)
        known[:, 0] = False
        return WorldState(
            None,
            self.latents(context[:, -read:]),
            context.new_zeros(len(context), 0, self.codec.num_tokens, self.codec.dim),
            torch.cat([unknown, before], 1),
            known if self.fields.actions else torch.zeros_like(known),
            actions[:, length - 1 :],
            self.normalizer.normalize_params(params),
        )

    def advance(self, state: WorldState, generator: Generator | None = None) -> WorldState:
        """Return one draw of the state a frame later.

        What is pending is read with the noise of a context, and the network is told so; then the next frames are drawn.

        Raises:
            ValueError: there is no generator to draw from.
            UserError: the plan has ended.
        """
        if generator is None:
            raise ValueError("a world model draws frames: give a generator")
        if self.fields.actions and not state.plan.shape[1]:
            raise UserError("the plan has ended: give an action for every frame of the forecast")
        if state.drawn.shape[1]:
            taken = torch.cat([state.taken, self._actions(state, 1)], 1)
            known = torch.cat([state.known, self._known(state, 1)], 1)
            pending = torch.cat([state.pending, state.drawn[:, :1]], 1)
            return state._replace(
                pending=pending, drawn=state.drawn[:, 1:], taken=taken, known=known, plan=state.plan[:, 1:]
            )
        cache = self._read(state, generator).last(self.settings.context - 1)
        ahead = 1 if self.settings.method == "regression" else self.settings.ahead
        ahead = min(ahead, state.plan.shape[1]) if self.fields.actions else ahead
        made = self._draw(state, ahead, cache, generator)
        taken, known = self._actions(state, 1), self._known(state, 1)
        return WorldState(cache, made[:, :1], made[:, 1:], taken, known, state.plan[:, 1:], state.params)

    def decode(self, state: WorldState) -> Float[Tensor, "batch field *grid"]:
        """Return the present frame in physical units."""
        tokens = state.pending[:, -1] * self.latent_std + self.latent_mean
        return self.normalizer.denormalize(self.codec.decode(tokens))

    def manifest(self) -> DynamicsManifest:
        """Return everything but the numbers that is needed to build this world model again."""
        return DynamicsManifest(
            fields=self.fields,
            param_ranges=tuple(self.normalizer.param_ranges()),
            codec=self.codec.settings,
            dynamics=self.settings,
        )

    def _read(self, state: WorldState, generator: Generator) -> Cache:
        """Return the cache with what is pending in it, corrupted as the network is told."""
        x, level = state.pending, 0.0 if self.settings.method == "regression" else self.context_level
        t = torch.full(x.shape[:2], level, device=x.device)
        if level and not (self.settings.sampler == "to_context" and state.cache is not None):
            x = self.process.corrupt(x, _normal(x, generator), t)
        s = (t - self.finest).clamp(min=0)
        return self.denoise(x, t, s, state.taken, state.known, state.params, state.cache)[1]

    def _actions(self, state: WorldState, count: int) -> Float[Tensor, "batch count action"]:
        """Return the next actions of the plan; where there are none, none."""
        return state.plan[:, :count] if self.fields.actions else state.taken[:, -1:].expand(-1, count, -1)

    def _known(self, state: WorldState, count: int) -> Bool[Tensor, "batch count"]:
        return torch.full_like(state.known[:, -1:], bool(self.fields.actions)).expand(-1, count)

    def _levels(self, ahead: int) -> Float[Tensor, "step frame"]:
        """Return the noise of each frame that is drawn together, call by call; see `diffusion/forcing.py`."""
        return pyramid(ahead, self.settings.num_calls, self.settings.stagger)

    def _draw(self, state: WorldState, ahead: int, cache: Cache, generator: Generator) -> Latents:
        """Return the next frames, drawn together."""
        like = state.pending[:, -1:].expand(-1, ahead, -1, -1)
        action, known = self._actions(state, ahead), self._known(state, ahead)

        def estimate(x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
            # a frame that is clean already is told the least noise that was trained
            return self.denoise(x_t, t.clamp(min=self.finest), s, action, known, state.params, cache)[0]

        if self.settings.method == "regression":
            one = torch.ones(like.shape[:2], device=like.device)
            return estimate(torch.zeros_like(like), one, torch.zeros_like(one))
        last = self.context_level if self.settings.sampler == "to_context" else 0.0
        told = self.finest if self.settings.method != "shortcut" else None  # the only hop that was trained

        def hop(x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
            end = s if told is None else (t - told).clamp(min=0)
            x0 = estimate(x_t, t, end)
            if self.settings.sampler == "fresh_noise":
                fresh = self.process.corrupt(x0, _normal(x0, generator), s)
                return torch.where((s < t)[..., None, None], fresh, x_t)
            return move(self.process, x_t, x0, t.clamp(min=last), s.clamp(min=last))

        return sample(hop, _normal(like, generator), self._levels(ahead).to(like))

    def _level(self, t: Levels) -> Tensor:
        return (t / self.finest).round().long()

    def _hop(self, t: Levels, s: Levels) -> Tensor:
        """Return the exponent of the hop's length: 0 for the whole way, `num_levels` for the finest."""
        exponent = -torch.log2((t - s).clamp(min=self.finest))
        return exponent.round().long()

    def _checked(self, actions: Tensor | None, context: Tensor) -> Tensor:
        names = self.fields.actions
        if not names:
            return context.new_zeros(len(context), context.shape[1], 0)
        if actions is None:
            raise UserError(f"a world model of {', '.join(names)} needs the actions of context and forecast")
        if actions.shape[2] != len(names):
            raise UserError(
                f"actions have {actions.shape[2]} columns, the world model knows {', '.join(names)}"
            )
        if actions.shape[1] < context.shape[1]:
            raise UserError(
                f"{actions.shape[1]} actions for a context of {context.shape[1]} frames: give one for each frame, and "
                "one for each of the forecast but the last"
            )
        return actions


class DynamicsManifest(Manifest):
    """From what a world model was built."""

    kind: Literal["dynamics"] = "dynamics"
    free: ClassVar[tuple[str, ...]] = (
        "dynamics.num_calls",
        "dynamics.context_noise",
        "dynamics.sampler",
        "dynamics.ahead",
        "dynamics.stagger",
    )
    fields: Fields
    """The data it was trained on."""
    param_ranges: tuple[tuple[float, float], ...]
    """Lowest and highest value of each parameter in training."""
    codec: AutoencoderSettings
    """The autoencoder."""
    dynamics: DynamicsSettings
    """The world model."""

    def build(self) -> Dynamics:
        """Return the world model, its numbers still to be restored."""
        generator = torch.Generator()  # its numbers are replaced by the saved ones
        normalizer = Normalizer(len(self.fields), len(self.fields.params))
        codec = self.codec.build(self.fields, generator)
        return self.dynamics.build(normalizer, codec, self.fields, generator)


def _normal(like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=generator.device).to(like)
