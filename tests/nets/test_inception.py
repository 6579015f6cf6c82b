import math

import pytest
import torch

from ups.nets.inception import InceptionV3


def ramp(*shape):
    return torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)


@pytest.fixture(scope="module")
def network():
    """The network with every number a known function of its name and place."""
    with torch.device("meta"):
        network = InceptionV3()
    network.to_empty(device="cpu")
    for name, tensor in network.state_dict().items():
        wave = torch.sin(ramp(*tensor.shape) * 1.7 + 0.3 * len(name))
        if name.endswith("conv.weight"):
            wave = wave * math.sqrt(4 / tensor[0].numel())
        elif name.endswith("running_var"):
            wave = 0.75 + 0.5 * wave
        elif name.endswith("bn.weight"):
            wave = 1 + 0.3 * wave
        else:
            wave = 0.2 * wave
        tensor.copy_(wave)
    return network.eval()


def test_the_features_are_those_of_pytorch_fid_with_the_same_weights(network):
    # Computed by pytorch-fid 0.3.0 (`fid_inception_v3`, torchvision 0.28.0) from the same weights and images. When they
    # were recorded, the names of the weights were equal and all 2 x 2048 features agreed to 4e-7 of the largest.
    images = torch.stack([torch.sin(ramp(3, 299, 299) * 0.01), torch.cos(ramp(3, 299, 299) * 0.37)])
    with torch.no_grad():
        features = network(images.float())
    expected = torch.tensor([[10.8772, 6.7062, 1.2576, 168.3336], [11.0931, 6.8168, 1.2766, 170.8622]])
    torch.testing.assert_close(features[:, [500, 1000, 1500, 2000]], expected, rtol=1e-4, atol=0)
    assert features.mean().item() == pytest.approx(25.8773, rel=1e-4)
    assert features.std().item() == pytest.approx(58.6380, rel=1e-4)


def test_it_has_the_parameters_of_the_published_network_without_its_head(network):
    # torchvision's inception_v3 without auxiliary logits has 23,834,568, of which the head of 1000 classes
    assert sum(parameter.numel() for parameter in network.parameters()) == 23_834_568 - 1000 * 2049
