import os

import pytest
import torch

# One thread a worker: two threads on busy cores are slower than one, and results do not depend on the load.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def seed():
    """PyTorch's global stream starts alike for every test, so that no result depends on the tests before it.

    Run the suite with another UPS_TEST_SEED now and then: no test should pass by luck.
    """
    torch.manual_seed(int(os.environ.get("UPS_TEST_SEED", "0")))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """A cache folder of its own, so that tests neither use nor leave anything in the user's."""
    os.environ["UPS_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def without_report(monkeypatch):
    """No pictures for a test that looks at none: they are three quarters of what a tiny run costs."""
    for module in ("pipeline", "reevaluate"):
        monkeypatch.setattr(f"ups.runs.{module}.write_report", lambda folder: None)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, cache):
    """A finished run of the tiny recipe, for reading only."""
    from tiny_recipe import tiny
    from ups.runs.pipeline import run

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    run(tiny(), folder)
    return folder


@pytest.fixture(scope="session")
def kicked_run(tmp_path_factory, cache):
    """A finished run of the tiny kicked recipe, for reading only."""
    from tiny_recipe import kicked
    from ups.runs.pipeline import run

    folder = tmp_path_factory.mktemp("runs") / "kicked"
    run(kicked(), folder)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """The folder of pictures of the tiny image run."""
    from tiny_images import write_pictures

    return write_pictures(tmp_path_factory.mktemp("images") / "pictures")


@pytest.fixture(scope="session")
def tiny_image_run(tmp_path_factory, cache, pictures):
    """A finished run of the image bench, for reading only."""
    from tiny_images import tiny
    from ups.images.bench import run_images

    folder = tmp_path_factory.mktemp("image_runs") / "tiny"
    run_images(tiny(pictures), folder)
    return folder
