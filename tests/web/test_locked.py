"""A property that threads share."""

from threading import Thread
from time import sleep

from vlae.web.locked import locked_property


class Slow:
    """Counts how often its value was computed."""

    computed = 0

    @locked_property
    def value(self):
        sleep(0.05)
        self.computed += 1
        return self.computed


def test_threads_that_ask_at_once_compute_it_once():
    slow = Slow()
    threads = [Thread(target=lambda: slow.value) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert slow.value == slow.computed == 1
