import os
import signal
import threading

import pytest

from ups.training.signals import Interrupted, noted


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_acts_as_always(signum):
    died = []
    before = signal.signal(signum, lambda *_: died.append(1))
    try:
        with noted() as signals:
            assert signals.signum == 0
            os.kill(os.getpid(), signum)
            assert (signals.signum, died) == (signum, [])
            os.kill(os.getpid(), signum)
            assert died == [1]
        os.kill(os.getpid(), signum)
        assert died == [1, 1]
    finally:
        signal.signal(signum, before)


def test_handlers_are_put_back_after_a_failure():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), noted():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_trains_without_handlers():
    seen = []

    def work():
        with noted() as signals:
            seen.append(signals.signum)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0]


def test_the_message_names_the_signal_and_the_place():
    assert str(Interrupted(signal.SIGTERM, "after update 3")) == "SIGTERM after update 3"
