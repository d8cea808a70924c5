"""How far a long scoring is."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from absl import logging

from arch_zoo.training.metrics import clock

Item = TypeVar("Item")
EVERY = 15.0  # seconds between lines


def counter(label: str, total: int, unit: str) -> Callable[[int], None]:
    """`said(done)` logs now and then how many of how many, the rate, and the time left."""
    began = last = time.monotonic()

    def said(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY:
            last, rate = now, done / (now - began)
            logging.info("%s %s/%s %s  %s a second  left %s", label, f"{done:,}", f"{total:,}", unit, f"{rate:,.1f}",
                         clock((total - done) / rate))

    return said


def watched(items: Iterable[Item], label: str, total: int, unit: str) -> Iterator[Item]:
    """The items, with a line of progress now and then."""
    said = counter(label, total, unit)
    for done, item in enumerate(items):
        said(done)
        yield item
