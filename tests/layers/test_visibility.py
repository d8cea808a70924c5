"""Who may attend to whom: the drawings in the documentation, and what a stack really reads."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.config import ModelConfig
from arch_zoo.layers.stack import Stack
from arch_zoo.layers.visibility import Visibility, draw, visible_cross, visible_self
from tests.toy import drawn

BIDIRECTIONAL, CAUSAL, PREFIX = Visibility.BIDIRECTIONAL, Visibility.CAUSAL, Visibility.PREFIX
# Two documents and padding: 1 1 1 2 2 2 2 0, the first two tokens of each document are its prefix.
SEGMENTS = jnp.array([[1, 1, 1, 2, 2, 2, 2, 0]])
PREFIXES = jnp.array([[True, True, False, True, True, False, False, False]])
REAL = 7


def drawings() -> dict[str, str]:
    """The drawings in the docstring of visible_self by their titles."""
    lines = [line.strip() for line in visible_self.__doc__.splitlines()]
    rows = [line.split() for line in lines if re.fullmatch(r"[#.]{5}(\s+[#.]{5}){3}", line)]
    titles = re.split(r"\s{2,}", next(line for line in lines if line.startswith("BIDIRECTIONAL")))
    return {title: "\n".join(row[i] for row in rows) for i, title in enumerate(titles)}


DRAWN = [("BIDIRECTIONAL", BIDIRECTIONAL, 0), ("CAUSAL", CAUSAL, 0), ("PREFIX", PREFIX, 0),
         ("CAUSAL, window 2", CAUSAL, 2)]


def test_every_drawing_is_tested_and_no_two_are_the_same():
    assert list(drawings()) == [title for title, *_ in DRAWN]
    assert len(set(drawings().values())) == len(DRAWN)
    assert all(len(drawing) == 5 * 6 - 1 for drawing in drawings().values())


@pytest.mark.parametrize(("title", "visibility", "window"), DRAWN)
def test_drawing(title, visibility, window):
    prefix = jnp.arange(5)[None] < 2
    assert draw(visible_self(visibility, jnp.ones((1, 5), int), prefix, window)[0]) == drawings()[title]


def by_definition(visibility: Visibility, window: int) -> np.ndarray:
    """visible_self for SEGMENTS, one pair at a time."""
    visible = np.zeros((8, 8), bool)
    for q in range(8):
        for k in range(8):
            same_document = SEGMENTS[0, q] == SEGMENTS[0, k] != 0
            order = k <= q or visibility is BIDIRECTIONAL or (visibility is PREFIX and PREFIXES[0, k])
            reach = window // 2 if visibility is BIDIRECTIONAL else window - 1
            visible[q, k] = same_document and order and (not window or abs(q - k) <= reach)
    return visible


@pytest.mark.parametrize("visibility", Visibility)
@pytest.mark.parametrize("window", [0, 2, 3])
def test_segments_padding_and_windows(visibility, window):
    np.testing.assert_array_equal(visible_self(visibility, SEGMENTS, PREFIXES, window)[0],
                                  by_definition(visibility, window))


def test_cross_attention_sees_the_same_segment_of_the_other_stream():
    visible = visible_cross(jnp.array([[1, 2, 0]]), jnp.array([[1, 1, 2, 0]]))
    assert draw(visible[0]) == "##..\n..#.\n...."


def read_by_a_stack(visibility: Visibility, depth: int, windows: tuple[int, ...] = ()) -> np.ndarray:
    """bool [REAL, t]: which inputs the outputs at the real positions depend on, from the Jacobian."""
    config = ModelConfig(width=8, heads=2, depth=depth, position="none", windows=windows, initializer_std=0.5)
    stack = Stack(config, depth)
    x = jax.random.normal(jax.random.key(0), (1, 8, 8))
    surroundings = (visibility, SEGMENTS, jnp.arange(8)[None], PREFIXES, jnp.arange(1))
    parameters = drawn(jax.eval_shape(lambda: stack.init(jax.random.key(1), x, *surroundings, train=False)), 0.5)

    def outputs(x_td):
        return stack.apply(parameters, x_td[None], *surroundings, train=False)[0, :REAL]

    jacobian = jax.jit(jax.jacrev(outputs))(x[0])
    return np.abs(jacobian).max(axis=(1, 3)) > 0


@pytest.mark.parametrize("visibility", Visibility)
def test_a_stack_reads_exactly_what_is_visible(visibility):
    """Of one block, tests/models/test_visibility_of_models.py sees it."""
    assert draw(read_by_a_stack(visibility, 2)) == draw(by_definition(visibility, 0)[:REAL])


@pytest.mark.parametrize("visibility", [BIDIRECTIONAL, CAUSAL])
def test_windows_are_cycled_over_the_blocks(visibility):
    """Two blocks reach as far as one window after the other, in that order of blocks."""
    narrow, wide = by_definition(visibility, 2), by_definition(visibility, 3)
    expected = (wide.astype(int) @ narrow)[:REAL] > 0
    assert draw(read_by_a_stack(visibility, 2, (2, 3))) == draw(expected)
    assert draw(read_by_a_stack(visibility, 1, (2, 3))) == draw(narrow[:REAL])
