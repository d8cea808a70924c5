"""Words that mean nothing: `bafo`, `suki`."""

import itertools
import random

_SYLLABLES = ["".join(letters) for letters in itertools.product("bdfgklmnprstvz", "aeiou")]
MOST = len(_SYLLABLES) ** 2


def made_up_words(count: int) -> list[str]:
    """So many words of two syllables, no two alike, always the same ones; fewer are the first of more."""
    words = ["".join(pair) for pair in itertools.product(_SYLLABLES, repeat=2)]
    random.Random("words").shuffle(words)
    return words[:count]
