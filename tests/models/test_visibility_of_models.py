"""What a whole model reads is what is drawn: for every architecture, the Jacobian has the pattern of `visible`."""

import functools

import jax
import numpy as np
import pytest

from arch_zoo.layers.visibility import Visibility, draw, visible_cross, visible_self
from arch_zoo.models.architecture import make_batch, make_stream
from arch_zoo.registry import ARCHITECTURES
from tests.toy import plain_pairs, tiny_config, toy_model

OBJECTIVE_OF = dict(reversed(plain_pairs()))
# Two documents and padding; the first two tokens of each document are its prefix. The source has them too.
SEGMENTS = np.array([[1, 1, 1, 1, 2, 2, 2, 0]])
PREFIX = np.array([[True, True, False, False, True, True, False, False]])
SOURCE_SEGMENTS = np.array([[1, 1, 1, 2, 2, 0]])
REAL, SOURCE_REAL = 7, 5
# Each architecture under its own visibility; one of one stack and one of two under every one.
SEEN_BY = [(name, visibility) for name in ARCHITECTURES.names() for visibility in Visibility
           if name in ("prefix_decoder", "encoder_decoder") or visibility is ARCHITECTURES.get(name)().visibility]


def toy_stream(segments: np.ndarray, prefix: np.ndarray | None = None):
    tokens = np.arange(30, 30 + segments.size)[None]
    return make_stream(tokens, segments, tokens, prefix)


def model_of(architecture: str, window: int):
    return toy_model(tiny_config(model__architecture=architecture, objective=OBJECTIVE_OF[architecture],
                                 model__depth=1, model__position="rotary", model__windows=(window,),
                                 model__initializer_std=0.5))


@functools.cache
def variables_of(architecture: str):
    """Initial variables; visibility and windows have no part in them."""
    batch, model = toy_batch(architecture), model_of(architecture, 0)
    return jax.jit(lambda: model.init(jax.random.key(0), batch, Visibility.CAUSAL, train=False))()


def toy_batch(architecture: str):
    stream = toy_stream(SEGMENTS, PREFIX)
    source = toy_stream(SOURCE_SEGMENTS) if architecture == "encoder_decoder" else None
    return make_batch(stream, source, stream.tokens, stream.tokens, np.ones((1, 8)), np.arange(1), 8)


@functools.cache
def read(architecture: str, visibility: Visibility, window: int = 0, method: str = "hidden") -> dict[str, np.ndarray]:
    """{stream: bool [t, k]}: which positions of each stream reach the hidden states of a model of one block."""
    model, batch, variables = model_of(architecture, window), toy_batch(architecture), variables_of(architecture)

    @jax.jit
    @jax.jacrev
    def jacobian(perturbations):
        return model.apply(variables | {"perturbations": perturbations}, batch, visibility, train=False,
                           method=method)[0]

    reach = jacobian(variables["perturbations"])["embedding"]
    return {name: np.abs(array).max(axis=(1, 2, 4)) > 0 for name, array in reach.items()}


def own(visibility: Visibility, window: int = 0) -> np.ndarray:
    return np.asarray(visible_self(visibility, SEGMENTS, PREFIX, window)[0])


def encoded(window: int = 0) -> np.ndarray:
    """What an encoder's output sees of the source, and through cross-attention everything that sees that output."""
    nobody = np.zeros(SOURCE_SEGMENTS.shape, bool)
    return np.asarray(visible_self(Visibility.BIDIRECTIONAL, SOURCE_SEGMENTS, nobody, window)[0])


def assert_drawn(read_tk: np.ndarray, visible_tk: np.ndarray, real: int) -> None:
    assert "\n" + draw(read_tk[:real]) == "\n" + draw(visible_tk[:real])


@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize(("architecture", "visibility"), SEEN_BY, ids=lambda v: getattr(v, "value", v))
def test_the_stream_is_read_as_drawn(architecture, visibility, window):
    assert_drawn(read(architecture, visibility, window)["stream"], own(visibility, window), REAL)


@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize("visibility", Visibility)
def test_the_source_is_read_through_the_encoder_as_drawn(visibility, window):
    """Whoever sees a state of the encoder sees what that state has seen, whatever the decoder's own visibility is."""
    cross = np.asarray(visible_cross(SEGMENTS, SOURCE_SEGMENTS)[0])
    through = cross.astype(int) @ encoded(window) > 0
    assert_drawn(read("encoder_decoder", visibility, window)["source"], through, REAL)


@pytest.mark.parametrize("window", [0, 3])
def test_an_encoder_alone_reads_the_source_as_drawn_and_nothing_of_the_stream(window):
    seen = read("encoder_decoder", Visibility.BIDIRECTIONAL, window, "encode")
    assert_drawn(seen["source"], encoded(window), SOURCE_REAL)
    assert not seen["stream"].any()


def test_each_architecture_has_the_visibility_that_its_name_says():
    assert {name: ARCHITECTURES.get(name)().visibility for name in ARCHITECTURES.names()} == {
        "encoder_only": Visibility.BIDIRECTIONAL, "decoder_only": Visibility.CAUSAL,
        "prefix_decoder": Visibility.PREFIX, "encoder_decoder": Visibility.CAUSAL}


def test_no_two_drawings_are_the_same():
    """The negative control: what is read under one visibility is not what is drawn for another."""
    drawn = {(visibility, window): own(visibility, window)[:REAL] for visibility in Visibility for window in (0, 3)}
    for chosen, seen in ((key, read("prefix_decoder", *key)["stream"][:REAL]) for key in drawn):
        assert [key for key, expected in drawn.items() if (seen == expected).all()] == [chosen]
    assert (encoded() != encoded(3)).any()
