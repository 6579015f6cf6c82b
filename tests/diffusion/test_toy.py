import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "diffusion.md"


def test_the_toy_of_the_documentation_learns_two_clusters():
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).group(1)
    names = {"__name__": "toy"}
    exec(code, names)
    samples = names["samples"]
    assert 0.45 < (samples > 0).float().mean() < 0.55
    assert abs(samples.abs().mean() - 1) < 0.03
    assert 0.05 < (samples.abs() - 1).std() < 0.2
    assert (samples.abs() > 0.5).float().mean() > 0.97
