import fcntl
import os
from functools import partial

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


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that is made once for all processes of a test run: `shared(name, make)`, for reading only."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def once(name, make):
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (root / f"{name}.made").exists():
                make(root / name)
                (root / f"{name}.made").touch()
        return root / name

    return once


@pytest.fixture(scope="session", autouse=True)
def cache(shared):
    """A cache folder of its own, so that tests neither use nor leave anything in the user's."""
    os.environ["UPS_CACHE"] = str(shared("cache", lambda folder: folder.mkdir()))


@pytest.fixture(scope="session", autouse=True)
def short_timings():
    """Costs are timed over fewer frames: more than half of what the evaluation of a tiny run takes."""
    from ups.evaluation import ladder
    from ups.evaluation.cost import measure_cost

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "measure_cost", partial(measure_cost, num_frames=4, num_repeats=2))
        yield


@pytest.fixture
def without_report(monkeypatch):
    """No pictures for a test that looks at none: they are three quarters of what a tiny run costs."""
    for module in ("pipeline", "reevaluate"):
        monkeypatch.setattr(f"ups.runs.{module}.write_report", lambda folder: None)


@pytest.fixture(scope="session")
def tiny_run(shared, cache):
    """A finished run of the tiny recipe, for reading only."""
    from tiny_recipe import tiny
    from ups.runs.pipeline import run

    return shared("tiny", lambda folder: run(tiny(), folder))


@pytest.fixture(scope="session")
def kicked_run(shared, cache):
    """A finished run of the tiny kicked recipe, for reading only."""
    from tiny_recipe import kicked
    from ups.runs.pipeline import run

    return shared("kicked", lambda folder: run(kicked(), folder))


@pytest.fixture(scope="session")
def world_run(shared, cache):
    """A finished run of the tiny world, for reading only."""
    from tiny_recipe import world
    from ups.runs.pipeline import run

    return shared("world", lambda folder: run(world(), folder))


@pytest.fixture(scope="session")
def pictures(shared):
    """The folder of pictures of the tiny image run."""
    from tiny_images import write_pictures

    return shared("pictures", write_pictures)


@pytest.fixture(scope="session")
def tiny_image_run(shared, cache, pictures):
    """A finished run of the image bench, for reading only."""
    from tiny_images import tiny
    from ups.images.bench import run_images

    return shared("tiny_images", lambda folder: run_images(tiny(pictures), folder))
