import copy

import numpy as np
import pytest
import torch

from ups import checkpoint
from ups.config import validate
from ups.evaluation.denoiser_probes import Probe, probe_set
from ups.images.denoiser import DenoiserManifest, DenoiserSettings, build_denoiser
from ups.images.features import Extractor
from ups.images.fidelity import kid
from ups.images.milestones import Milestones, MilestoneSettings
from ups.images.sweep import Judge
from ups.models.noise import MinSNR, NoiseError
from ups.streams import stream
from ups.training.settings import Fit
from ups.training.state import State, weights
from ups.types import UserError

IMAGES = torch.rand(20, 1, 8, 8, generator=stream(0, "images")) * 2 - 1


class Corners(torch.nn.Module):
    """Four pixels of an image, as features."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        return self.gain * images[:, 0, ::4, ::4].flatten(1)


EXTRACTOR = Extractor("corners/1", 4, Corners())
JUDGE = Judge(EXTRACTOR, EXTRACTOR(IMAGES), [], {})


@pytest.fixture
def state():
    small = DenoiserSettings(width=16, multipliers=(1,), num_blocks=1)
    manifest = DenoiserManifest(settings=small, channels=1, data_mean=0.0, data_std=0.6)
    denoiser = build_denoiser(manifest, stream(0, "denoiser"))
    begun = State.start(denoiser, Fit(updates=10, unroll=((0.0, 1),)))
    with torch.no_grad():  # now the weights and their average differ
        for parameter in denoiser.parameters():
            parameter += 0.1
    denoiser.train()
    return begun


def milestones(folder, **changes):
    settings = MilestoneSettings(**{"every": 5, "num_vectors": 1, "num_samples": 3, "steps": 2} | changes)
    found = probe_set(IMAGES, Probe(num_images=4))
    return Milestones(settings, folder, (1, 8, 8), JUDGE, found, (NoiseError(), MinSNR()), seed=0)


def test_it_looks_at_every_so_many_updates_and_at_the_last_one(state, tmp_path):
    look, seen = milestones(tmp_path), {}
    for update in range(1, 8):
        state.update = update
        seen[update] = look(state, update == 7)
    assert [update for update, numbers in seen.items() if numbers] == [5, 7]
    assert set(seen[5]) == {
        f"probe/{objective}/{figure}"
        for objective in ("noise error, unweighted", "noise error, Min-SNR 5")
        for figure in ("loss", "gradient", "trace", "trace_sem")
    } | {"fidelity/kid", "fidelity/kid_standard_error"}
    pictures = sorted(tmp_path.glob("milestones/*.npz"))
    assert [path.stem for path in pictures] == ["0000005", "0000007"]
    with np.load(pictures[0]) as file:
        assert file["images"].shape == (3, 1, 8, 8)
        drawn = torch.from_numpy(file["images"]) / 127.5 - 1
    assert seen[5]["fidelity/kid"] == pytest.approx(kid(EXTRACTOR(drawn), JUDGE.reference).value, rel=1e-5)


def test_it_leaves_the_state_as_it_was(state, tmp_path):
    before = copy.deepcopy((weights(state.model), state.ema.average, state.numbers()))
    generator = torch.get_rng_state()
    milestones(tmp_path)(state, True)
    after = (weights(state.model), state.ema.average, state.numbers())
    for old, new in zip(before[:2], after[:2], strict=True):
        assert all(torch.equal(old[name], new[name]) for name in old)
    assert before[2] == after[2]
    assert state.model.training
    assert all(parameter.grad is None for parameter in state.model.parameters())
    assert torch.equal(generator, torch.get_rng_state())


def test_samples_come_from_the_averaged_weights_and_the_raw_ones_are_saved(state, tmp_path):
    milestones(tmp_path / "one")(state, True)
    saved = checkpoint.load(tmp_path / "one" / "raw")
    assert all(torch.equal(p, q) for p, q in zip(saved.parameters(), state.model.parameters(), strict=True))
    with torch.no_grad():
        for parameter in state.model.parameters():
            parameter += 1.0
    milestones(tmp_path / "other")(state, True)
    pictures = []
    for run in ("one", "other"):
        with np.load(tmp_path / run / "milestones" / "0000000.npz") as file:
            pictures.append(file["images"])
    assert np.array_equal(*pictures)


def test_too_few_images_for_a_distance_are_refused():
    with pytest.raises(UserError, match=r"num_samples.*at least 3 images"):
        validate(MilestoneSettings, {"num_samples": 2})


def test_what_is_not_asked_for_is_not_done(state, tmp_path):
    assert milestones(tmp_path, num_vectors=0, num_samples=0)(state, True) == {}
    assert not (tmp_path / "milestones").exists()
