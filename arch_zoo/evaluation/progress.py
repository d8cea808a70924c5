"""How far a long scoring is."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from absl import logging

from arch_zoo.training.metrics import clock

Item = TypeVar("Item")
EVERY = 15.0  # seconds between lines


def watched(items: Iterable[Item], label: str, total: int, unit: str) -> Iterator[Item]:
    """The items, with a line of progress now and then: how many of how many, the rate, the time left."""
    began = said = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - said >= EVERY:
            said, rate = now, done / (now - began)
            logging.info("%s %s/%s %s  %s a second  left %s", label, f"{done:,}", f"{total:,}", unit, f"{rate:,.1f}",
                         clock((total - done) / rate))
        yield item
