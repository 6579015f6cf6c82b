"""Does every part of a network do something? Disturb each one; the output must change."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ups.streams import stream


def dead_branches(model: nn.Module, call: Callable[[], Tensor]) -> list[str]:
    """Return the names of the layers whose parameters do not reach the output of `call`.

    Each layer that holds parameters gets noise of its own size (at least 0.1) added, one layer at a time. Heads
    that start at zero would hide all that lies before them, so everything that is zero is disturbed first. The
    parameters are put back bit for bit. The Well's FNO had such a fault: it computed its blocks and did
    not use them (PolymathicAI/the_well #64).
    """
    layers = {name: layer for name, layer in model.named_modules() if list(layer.parameters(recurse=False))}
    zeros = [parameter for parameter in model.parameters() if not parameter.any()]
    generator = stream(0, "ablation")
    dead = []
    with torch.no_grad(), _disturbed(zeros, generator):
        reference = call()
        for name, layer in layers.items():
            with _disturbed(list(layer.parameters(recurse=False)), generator):
                if torch.equal(call(), reference):
                    dead.append(name)
    return dead


@contextmanager
def _disturbed(parameters: list[nn.Parameter], generator: torch.Generator) -> Generator[None]:
    originals = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        noise = torch.randn(parameter.shape, generator=generator).to(parameter)
        parameter.add_(noise * parameter.square().mean().sqrt().clamp_min(0.1))
    try:
        yield
    finally:
        for parameter, original in zip(parameters, originals, strict=True):
            parameter.copy_(original)
