"""The reference implementation beside ours: the same weights, the same rows, logits of both."""

import pathlib
import warnings
from typing import Any

import jax
import numpy as np
import pytest

from arch_zoo.config import RunConfig
from arch_zoo.interop.huggingface import Imported, import_checkpoint
from tests.parity.cases import BOTH, DECODER, VOCABULARY, Case
from tests.toy import toy_batch, toy_model

torch = pytest.importorskip("torch", reason="pip install 'arch_zoo[parity]' brings the reference implementations")
transformers = pytest.importorskip("transformers", reason="pip install 'arch_zoo[parity]' brings them")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore", module="transformers|torch")
torch.set_num_threads(1)  # of small models; several would wait for each other beside another worker's

TOLERANCE = 1e-5  # of a relative error
LENGTHS = (11, 7)  # of the two rows; the second is padded


def build(case: Case, seed: int = 0) -> Any:
    """The reference model with every weight random: gains, biases and buffers of logits too."""
    torch.manual_seed(seed)
    config = getattr(transformers, case.config_class)(**case.options)
    config._attn_implementation = case.attention
    model = getattr(transformers, case.model_class)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                gain = parameter.ndim == 1 and name.endswith("weight") and case.config_class != "GemmaConfig"
                parameter.copy_(0.25 * torch.randn_like(parameter) + (1.0 if gain else 0.0))
        for name, buffer in model.named_buffers():
            if name == "final_logits_bias":
                buffer.copy_(0.25 * torch.randn_like(buffer))
    return model


def rows(case: Case, seed: int = 0) -> dict[str, np.ndarray]:
    """What the reference's forward pass is given: two rows, one of them padded, on the left for a decoder."""
    rng = np.random.default_rng(seed)

    def tokens(lengths, left):
        ids, mask = np.zeros((2, max(lengths)), np.int64), np.zeros((2, max(lengths)), np.int64)
        ids[:] = case.options["pad_token_id"]
        for row, length in enumerate(lengths):
            place = slice(-length, None) if left else slice(0, length)
            ids[row, place], mask[row, place] = rng.integers(3, VOCABULARY, length), 1
        return ids, mask

    ids, mask = tokens(LENGTHS, case.kind == DECODER)
    given = {"input_ids": ids, "attention_mask": mask}
    if case.kind == DECODER:
        given["position_ids"] = np.maximum(mask.cumsum(axis=1) - 1, 0)
    if case.kind == BOTH:
        given["decoder_input_ids"], given["decoder_attention_mask"] = tokens((5, 9), False)
    if case.options.get("type_vocab_size", 2) == 2 and case.config_class in ("BertConfig", "ElectraConfig",
                                                                              "AlbertConfig"):
        given["token_type_ids"] = (np.arange(ids.shape[1]) > 4)[None] * mask
    return given


def accepted(model: Any, given: dict[str, np.ndarray]) -> dict[str, Any]:
    """`given` as tensors, without what the model's forward pass does not take."""
    import inspect

    known = inspect.signature(model.forward).parameters
    return {name: torch.from_numpy(value) for name, value in given.items() if name in known}


def their_outputs(model: Any, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs by our names: logits, sentence, replaced, pooled, hidden."""
    with torch.no_grad():
        out = model(**accepted(model, given))
    names = {"prediction_logits": "logits", "seq_relationship_logits": "sentence", "sop_logits": "sentence",
             "logits": {"ElectraForPreTraining": "replaced", "BertForNextSentencePrediction": "sentence"}.get(
                 type(model).__name__, "logits"), "pooler_output": "pooled"}
    found = {ours: out[theirs].numpy() for theirs, ours in names.items() if theirs in out and out[theirs] is not None}
    return found if found else {"hidden": out[0].numpy()}


def relative_error(ours: np.ndarray, theirs: np.ndarray, real: np.ndarray) -> float:
    """The largest difference at real positions, over the largest value there."""
    if ours.ndim > 1 and ours.shape[:2] == real.shape:
        ours, theirs = ours[real], theirs[real]
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def save(model: Any, directory: pathlib.Path, **options: Any) -> pathlib.Path:
    """The reference's own checkpoint."""
    model.save_pretrained(directory, **options)
    return directory


def imported(case: Case, directory: pathlib.Path) -> tuple[Any, Imported]:
    """The reference's model, and what we import of its checkpoint."""
    model = build(case)
    return model, import_checkpoint(save(model, directory))


def descended(config: RunConfig, steps: int, rate: float, documents: bool = True) -> tuple[Any, np.ndarray]:
    """(parameters, loss at each step) of a model trained here, by so many steps down the gradient on one toy batch."""
    module, batch, visibility = toy_model(config), toy_batch(config, documents=documents), \
        config.model.architecture.visibility

    def step(parameters, _):
        def loss(p):
            total, weight = config.objective.loss(module, p, batch, visibility, train=False)
            return total / weight

        value, gradient = jax.value_and_grad(loss)(parameters)
        return jax.tree.map(lambda p, g: p - rate * g, parameters, gradient), value

    @jax.jit
    def train():
        start = module.init(jax.random.key(0), batch, visibility, train=False)["params"]
        return jax.lax.scan(step, start, length=steps)

    return jax.device_get(train())
