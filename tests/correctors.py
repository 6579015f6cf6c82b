"""A small corrected emulator for the tests."""

import torch

from lines import on_line
from ups.models.autoencoder import IdentityPatches
from ups.models.corrector import CorrectorSettings
from ups.models.emulator import Emulator
from ups.models.normalizer import fit_normalizer
from ups.models.operator import SpectralFlux
from ups.models.residual import ResidualSpectrum
from ups.models.residual_nets import SpectralLocal
from ups.streams import stream
from ups.types import Trajectory, line

FIELDS = on_line(("u",), ("m/s",), 1.0, 0.05, params=("nu",), cells=32)
NUM_CELLS = 32
NETWORK = SpectralLocal(width=8, num_blocks=2, modes=8, kernel_size=3)


def trajectory(num=6, num_frames=4):
    values = 3 + 2 * torch.randn(num, num_frames, 1, NUM_CELLS, generator=stream(0, "values"))
    params = torch.rand(num, 1, generator=stream(0, "params"))
    return Trajectory(values, params, FIELDS)


def spectrum(scale=1.0):
    wavenumber = torch.arange(NUM_CELLS // 2 + 1.0)
    return ResidualSpectrum((scale**2 * 4 / (1 + wavenumber**2))[:, None], line(NUM_CELLS))


def disturb(module, size=0.1):
    generator = stream(0, "disturb")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return module


def corrected(disturbed=True, **settings):
    codec = IdentityPatches().build(FIELDS, stream(0, "codec"))
    operator = SpectralFlux(width=8, num_blocks=2, modes=8).build(codec, FIELDS, stream(0, "operator"))
    emulator = disturb(Emulator(fit_normalizer(trajectory()), codec, operator, FIELDS))
    settings = CorrectorSettings(**{"network": NETWORK, "num_steps": 4} | settings)
    made = settings.build(emulator.requires_grad_(False), spectrum(), stream(0, "corrector"))
    if disturbed:
        disturb(made.correction.denoiser)
    return made
