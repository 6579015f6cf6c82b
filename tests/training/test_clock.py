import multiprocessing
import time

import pytest
import torch

from ups.record import Fitted
from ups.training.clock import unequal_load, work
from ups.training.plan import measure

CPU = torch.device("cpu")


def burn(stop):
    while not stop.is_set():
        sum(range(10_000))


def fitted(seconds, cpu_seconds):
    return Fitted(10, float(seconds), None, 0.1, None, 10, 0, 5, cpu_seconds=float(cpu_seconds))


def test_waiting_is_no_work_and_computing_is():
    begun = work(CPU)
    time.sleep(0.2)
    assert work(CPU) - begun < 0.05
    begun, wall = work(CPU), time.perf_counter()
    while time.perf_counter() - wall < 0.2:
        sum(range(10_000))
    assert work(CPU) - begun > 0.05


def test_an_update_costs_the_same_work_while_others_burn_every_core():
    def one():
        sum(range(300_000))

    quiet = measure(one, 20.0, lambda: work(CPU))
    stop = multiprocessing.Event()
    others = [multiprocessing.Process(target=burn, args=(stop,)) for _ in range(4)]
    for other in others:
        other.start()
    try:
        busy = measure(one, 20.0, lambda: work(CPU))
    finally:
        stop.set()
        for other in others:
            other.join()
    assert busy == pytest.approx(quiet, rel=0.5)


def test_unequal_load_is_said_with_who_had_less_and_equal_load_is_not():
    assert unequal_load({"a": fitted(10, 9.5), "b": fitted(40, 38)}) is None
    assert unequal_load({"a": fitted(10, 9.5)}) is None
    said = unequal_load({"operator": fitted(30, 10), "fno": fitted(11, 10), "codec": fitted(5, 0.0)})
    assert "busier while operator was trained (wall time 3.0 times" in said
    assert "fno was (1.1 times)" in said
