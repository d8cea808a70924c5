"""What a run is: one frozen, typed value. Values only; nothing here computes.

A config file is a Python file with `get_config()` (or `get_config(argument)`) that returns one of these; every field
can be set from the command line by its dotted path, `--config.model.depth=4`.
"""

import dataclasses
from typing import Any, Literal

from arch_zoo.errors import UserError
from arch_zoo.mesh import MeshConfig
from arch_zoo.registry import ARCHITECTURES, KERNELS, OBJECTIVES, POSITIONS, TASKS, TRAINED_WEIGHTS
from arch_zoo.settings import FieldError, Settings, setting


@dataclasses.dataclass(frozen=True)
class TokenizerConfig(Settings):
    """A sentencepiece tokenizer, trained on the corpus unless `model` names an existing tokenizer of any kind."""

    kind: Literal["unigram", "bpe"] = setting("unigram", "segmentation algorithm")
    vocab_size: int = setting(2048, "number of ids, special ones, bytes and sentinels included", low=300)
    sentinels: int = setting(32, "number of sentinel ids for span objectives", low=1, high=1000)
    decoder_start_id: int | None = setting(None, "id that opens a decoder's stream; none: BOS, or padding without one",
                                           low=0)
    model: str | None = setting(None, "a tokenizer to use as it is: a sentencepiece model, a tokenizer.json, or a "
                                     "directory with the files of a Hugging Face tokenizer")


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
    """Where text comes from and how it is cut into windows."""

    corpus: str = setting("python_docs", "python_docs, a text or JSON-lines file or folder, tfds:NAME, tokens:DIR, "
                                         "synthetic:grammar, or for pairs of texts parallel:SOURCES,TARGETS, "
                                         "parallel:FILE, parallel:tfds:NAME or parallel:synthetic:NAME")
    mixed_with: tuple[str, ...] = setting((), "further corpora, read as corpus is, for training on a mixture of all")
    corpus_weights: tuple[float, ...] = setting((), "how often a window is of each corpus, of data.corpus first, "
                                                    "relative to the others; empty: by their sizes", low=0.0)
    text_field: str = setting("text", "the field that holds the text in JSON-lines and TFDS records; SOURCE,TARGET for "
                                      "pairs")
    documents: Literal["blank_line", "line", "file"] = setting("blank_line", "what separates documents in plain text")
    tokenizer: TokenizerConfig = setting(TokenizerConfig, "the tokenizer")
    length: int = setting(128, "tokens of corpus in one window", low=2)
    unique_tokens: int | None = setting(None, "train on so many tokens of the training split, in whole windows, again "
                                              "and again; none: all of it", low=1)
    segments: bool = setting(True, "hide documents that share a window from each other")
    cache_dir: str | None = setting(None, "tokenizers and token stores live here; none: the user's cache directory")

    def check(self) -> None:
        corpora = (self.corpus, *self.mixed_with)
        if self.corpus_weights and (len(self.corpus_weights) != len(corpora) or not sum(self.corpus_weights)):
            raise FieldError("corpus_weights", f"needs {len(corpora)} numbers, one for each corpus and not all 0, got "
                                               f"{','.join(f'{weight:g}' for weight in self.corpus_weights)}")
        if self.mixed_with and any(corpus.startswith("tokens:") for corpus in corpora):
            raise FieldError("mixed_with", "tokens:DIR has a tokenizer of its own, and a mixture has one for all; name "
                                           "the corpora themselves")
        if self.unique_tokens is not None and self.unique_tokens < self.length:
            raise FieldError("unique_tokens", f"{self.unique_tokens} tokens do not fill one window of data.length="
                                              f"{self.length}")
        if self.unique_tokens is not None and self.mixed_with:
            raise FieldError("unique_tokens", "is of one corpus, and data.mixed_with names more")

    @property
    def parallel(self) -> bool:
        """Whether the corpus is read as pairs of texts."""
        return self.corpus.startswith("parallel:")


@dataclasses.dataclass(frozen=True)
class ModelConfig(Settings):
    """The architecture and the switches that every architecture shares."""

    architecture: Any = setting("decoder_only", "the streams and who sees whom", variant=ARCHITECTURES)
    width: int = setting(128, "size of the residual stream", low=1)
    depth: int = setting(4, "blocks in the stack (encoder-decoder: in the decoder)", low=1)
    encoder_depth: int | None = setting(None, "blocks in the encoder; none: depth", low=1)
    heads: int = setting(4, "query heads", low=1)
    kv_heads: int | None = setting(None, "key and value heads: 1 is multi-query, fewer than heads grouped; none: heads",
                                   low=1)
    head_dim: int | None = setting(None, "size of one head; none: width / heads", low=1)
    mlp_dim: int | None = setting(None, "hidden size of the feed-forward; none: 4 width", low=1)
    vocab_size: int | None = setting(None, "rows of the embedding; none: as many as the tokenizer has", low=1)
    embedding_dim: int | None = setting(None, "size of token embeddings, which are then projected to width; none: "
                                              "width", low=1)
    embedding_projection: Literal["sum", "tokens"] = setting(
        "sum", "what is projected: the normalised sum of all embeddings (ALBERT), or the tokens' alone (OPT)")
    token_types: int = setting(0, "learned kinds of token, such as the two texts of a pair (BERT: 2); 0: none", low=0)
    max_len: int = setting(512, "longest stream that learned positions can tell apart", low=1)
    position: Any = setting("learned", "position scheme", variant=POSITIONS)
    windows: tuple[int, ...] = setting((), "sliding windows by block, cycled: 0 is unlimited, e.g. 0,128; empty: all 0",
                                       low=0)
    norm: Literal["layer_norm", "rms_norm"] = setting("layer_norm", "normalisation")
    norm_epsilon: float = setting(1e-5, "added to the variance", low=0)
    norm_bias: bool = setting(True, "LayerNorm has a bias")
    placement: Literal["pre", "post", "sandwich", "parallel", "parallel_norms"] = setting(
        "pre", "where the norms stand in a block; parallel_norms: each parallel branch has its own")
    first_norm: bool = setting(True, "the first attention has a norm before it; false: it reads the embeddings as they "
                                     "are (ModernBERT, which normalises those)")
    share_blocks: bool = setting(False, "all blocks of a stack use the same parameters (ALBERT)")
    share_stacks: bool = setting(False, "encoder and decoder use the same parameters, cross-attention apart (T5, "
                                        "Table 2)")
    activation: Literal["relu", "gelu", "gelu_tanh", "silu", "sigmoid", "identity"] = setting(
        "gelu_tanh", "feed-forward non-linearity")
    gated: bool = setting(False, "multiply the activation by a second projection (GLU)")
    attention_bias: bool = setting(True, "biases on the attention projections")
    mlp_bias: bool = setting(True, "biases on the feed-forward projections")
    qk_norm: bool = setting(False, "RMSNorm on the queries and keys of each head")
    scale_attention: bool = setting(True, "divide attention logits by the root of head_dim (T5 does not)")
    tied_embeddings: bool = setting(True, "the output projection is the embedding table")
    scale_embeddings: bool = setting(False, "multiply embeddings by the root of width")
    embedding_norm: bool = setting(False, "normalise the sum of token and position embeddings")
    vocabulary_head: bool = setting(True, "predicts tokens; a discriminator or a bare encoder does not")
    head_transform: bool = setting(False, "dense, activation and norm before the output projection (BERT)")
    logits_bias: bool = setting(False, "a bias for every entry of the vocabulary")
    scale_logits: bool = setting(False, "divide what the output projection reads by the root of width (T5)")
    pooler: bool = setting(False, "dense and tanh on the first token's state, for sentence-level heads (BERT)")
    sentence_classes: int = setting(0, "classes of a head on the pooler (next sentence: 2); 0: none", low=0)
    discriminator: bool = setting(False, "dense, activation and one number at each position: was it replaced (ELECTRA)")
    future_heads: int = setting(0, "blocks after the stack, each of which predicts one token further ahead "
                                   "(objective=multi_token); 0: none", low=0)
    initializer: Literal["normal", "truncated_normal", "xavier_uniform", "fan_in"] = setting(
        "normal", "initial weights of the projections")
    initializer_std: float = setting(0.02, "their standard deviation, for normal and truncated_normal", low=0)
    scale_residual_init: bool = setting(True, "divide the initial weights of projections into the residual stream by "
                                              "the root of the number of branches (GPT-2)")
    embedding_dropout: float = setting(0.0, "dropout on the embeddings", low=0, high=0.99)
    attention_dropout: float = setting(0.0, "dropout on the attention probabilities", low=0, high=0.99)
    mlp_dropout: float = setting(0.0, "dropout inside the feed-forward", low=0, high=0.99)
    residual_dropout: float = setting(0.0, "dropout on what a branch adds to the residual stream", low=0, high=0.99)
    scan: bool = setting(False, "run the stack as a loop: compiles faster, on CPU runs slower; same parameters")
    scan_unroll: int = setting(1, "scan: blocks in one turn of the loop", low=1)
    remat: bool = setting(False, "recompute each block in the backward pass: less memory, more time")
    remat_keeps: Literal["nothing", "products"] = setting("nothing", "remat: what is not computed again")
    attention_kernel: Any = setting("auto", "how attention is computed, never what", variant=KERNELS)

    def check(self) -> None:
        if self.head_dim is None and self.width % self.heads:
            raise FieldError("width", f"{self.width} is not divisible by {self.heads} heads; "
                                      f"nearest: {self.width // self.heads * self.heads or self.heads}, "
                                      f"{(self.width // self.heads + 1) * self.heads}, or set head_dim")
        if self.heads % self.key_value_heads:
            raise FieldError("kv_heads", f"{self.kv_heads} does not divide {self.heads} heads")
        if problem := self.position.refusal(self.size_of_head):
            raise FieldError("position", problem)
        if self.sentence_classes and not self.pooler:
            raise FieldError("sentence_classes", "a sentence-level head reads the pooler; set model.pooler=True")
        if problem := self.architecture.model_refusal(self):
            raise UserError(f"model.architecture={self.architecture.name}: {problem}")
        if self.share_stacks and self.encoder_depth not in (None, self.depth):
            raise FieldError("encoder_depth", f"{self.encoder_depth} is not depth={self.depth}, and share_stacks makes "
                                              f"the two stacks one")
        if not self.first_norm and (self.placement == "post" or self.share_blocks or self.share_stacks):
            raise FieldError("first_norm", "only an unshared block that begins with a norm can go without: use "
                                           "placement other than post, and neither share_blocks nor share_stacks")

    @property
    def size_of_head(self) -> int:
        return self.head_dim or self.width // self.heads

    @property
    def key_value_heads(self) -> int:
        return self.kv_heads or self.heads

    @property
    def size_of_embedding(self) -> int:
        return self.embedding_dim or self.width

    @property
    def size_of_mlp(self) -> int:
        return self.mlp_dim or 4 * self.width


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Settings):
    """The update rule and its schedule."""

    kind: Literal["adamw", "adafactor", "sgd"] = setting("adamw", "update rule; adafactor multiplies the rate by the "
                                                                  "size of each parameter")
    learning_rate: float = setting(2e-3, "peak learning rate", low=0)
    schedule: Literal["cosine", "linear", "inverse_square_root", "constant"] = setting("cosine", "after the warm-up")
    warmup_steps: int = setting(50, "steps of linear warm-up", low=0)
    final_fraction: float = setting(0.1, "cosine and linear end at this share of the peak", low=0, high=1)
    b1: float = setting(0.9, "AdamW: decay of the first moment; SGD: momentum", low=0, high=0.99999)
    b2: float = setting(0.98, "AdamW: decay of the second moment", low=0, high=0.99999)
    epsilon: float = setting(1e-8, "AdamW: added to the root of the second moment", low=0)
    weight_decay: float = setting(0.1, "decoupled weight decay, on matrices and embeddings only", low=0)
    clip_norm: float | None = setting(1.0, "largest norm of the gradient; none: no clipping", low=0)


@dataclasses.dataclass(frozen=True)
class RunConfig(Settings):
    """One training: with its seed it determines every number that comes out."""

    seed: int = setting(0, "seeds parameters, data order, corruption and dropout", low=0)
    steps: int = setting(1000, "optimizer steps; 0 keeps the parameters that the run begins with", low=0)
    batch_size: int = setting(32, "windows in one step, over all devices and accumulation", low=1)
    accumulate: int = setting(1, "gradient accumulation: parts into which a batch is cut", low=1)
    parallel: Literal["jit", "pmap"] = setting("jit", "how the step is spread over devices")
    devices: int | None = setting(None, "devices to use; none: all of them", low=1)
    vectorize: tuple[Literal["seeds", "learning_rate", "nothing"], ...] = setting(
        (), "runs that differ in these are trained as one program; empty: each by itself, but in studies on a GPU "
            "or TPU those that differ in either; nothing: there, too, each by itself")
    mesh: MeshConfig = setting(MeshConfig, "devices along each axis, as data:2,fsdp:4")
    start_from: str | None = setting(None, "directory of a run with whose parameters training begins; none: random")
    dtype: Literal["float32", "bfloat16"] = setting("float32", "type of activations; parameters stay float32")
    model: ModelConfig = setting(ModelConfig, "the model")
    objective: Any = setting("causal_lm", "what is learnt", variant=OBJECTIVES)
    data: DataConfig = setting(DataConfig, "the data")
    optimizer: OptimizerConfig = setting(OptimizerConfig, "the optimizer")
    log_every: int = setting(20, "steps between two lines of metrics", low=1)
    evaluate_every: int = setting(200, "steps between evaluations on held-out text; the last step always is one", low=1)
    evaluate_batches: int = setting(8, "batches in one evaluation; fewer where the split is smaller", low=1)
    checkpoint_every: int = setting(200, "steps between checkpoints; the last step always is one", low=1)

    def check(self) -> None:
        architecture = self.model.architecture
        if reason := architecture.refusal(self.objective):
            raise UserError(f"model.architecture={architecture.name} cannot train objective={self.objective.name}: "
                            f"{reason}")
        if problem := (self.objective.model_refusal(self.model) or
                       self.objective.refusal(self.data.length, self.data.tokenizer.sentinels)):
            raise UserError(f"objective={self.objective.name}: {problem}")
        self._check_pairs()
        longest = architecture.longest_stream(self.objective.lengths(self.data.length))
        if self.model.position.needs_max_len and longest > self.model.max_len:
            raise FieldError("model.max_len", f"{self.model.max_len} is shorter than the stream of {longest} tokens "
                                              f"that data.length={self.data.length} makes; raise it, or choose a "
                                              f"position scheme without a table")
        if self.batch_size % self.accumulate:
            raise FieldError("batch_size", f"{self.batch_size} is not divisible by accumulate={self.accumulate}")
        if "nothing" in self.vectorize and len(self.vectorize) > 1:
            raise FieldError("vectorize", "nothing and something at once; give one of them")
        if self.parallel == "pmap" and self.mesh.cuts_parameters:
            raise FieldError("mesh", f"{self.mesh} cuts parameters, and parallel=pmap keeps them whole on each device; "
                                     f"use parallel=jit")

    def _check_pairs(self) -> None:
        reads, corpus = self.objective.reads_pairs, self.data.corpus
        if self.data.parallel and not reads:
            raise FieldError("data.corpus", f"{corpus} holds pairs of texts, and objective={self.objective.name} reads "
                                            f"running text; use objective=translation, or another corpus")
        if reads and not self.data.parallel and not corpus.startswith("tokens:"):
            raise FieldError("data.corpus", f"objective={self.objective.name} reads pairs of texts, and {corpus} is "
                                            f"running text; give parallel:SOURCES,TARGETS or parallel:FILE")
        if reads and not self.data.segments:
            raise FieldError("data.segments", "pairs that share a row are always hidden from each other; leave it True")

    def require(self, tokenizer: Any) -> None:
        """UserError where the tokenizer lacks symbols that the objective needs: what it has shows when it is opened."""
        if problem := self.objective.tokenizer_refusal(self.data.length, tokenizer.vocabulary):
            raise UserError(f"objective={self.objective.name} cannot be trained with {tokenizer.model_path}: {problem}")


@dataclasses.dataclass(frozen=True)
class FineTuningConfig(Settings):
    """How a model is fine-tuned on labelled texts."""

    examples: int | None = setting(800, "training examples at most; none: all", low=1)
    test_examples: int | None = setting(400, "held-out examples at most; none: all", low=1)
    epochs: int = setting(2, "passes over the training examples", low=1)
    batch_size: int = setting(32, "examples in a step", low=1)
    length: int = setting(64, "tokens of a text, the rest is cut off", low=4)
    learning_rate: float = setting(1e-3, "peak of AdamW's schedule", low=0)
    schedule: Literal["cosine", "linear", "slanted_triangular"] = setting(
        "cosine", "after warm-up: down to 0; or ULMFiT's, up from a 32nd of the peak and down to it")
    warmup_share: float = setting(0.1, "share of the steps in which the rate rises to its peak", low=0, high=0.9)
    weights: Any = setting("all", "what is trained besides the head", variant=TRAINED_WEIGHTS)
    transfer: int | Literal["all", "scratch"] = setting(
        "all", "taken from the run: all; the embeddings and so many blocks from the bottom; or nothing (scratch). The "
               "rest is drawn anew", low=0)
    new_tokens: bool = setting(False, "put new start, delimiter and extract tokens, with rows added to the embedding, "
                                      "around texts (GPT-1) instead of the tokenizer's BOS and EOS")
    auxiliary: float = setting(0.0, "λ, the weight of the causal language-model loss on the same texts (GPT-1: 0.5)",
                               low=0)

    def check(self) -> None:
        if self.new_tokens and not self.weights.trains_embeddings:
            raise FieldError("new_tokens", f"would stay as they are drawn: weights={self.weights.name} trains no "
                                           f"embeddings; use weights=all")
        if self.auxiliary and self.weights.needs_head:
            raise FieldError("auxiliary", f"has no effect on a head, and weights={self.weights.name} trains only that")


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(Settings):
    """The metrics that arms of different objectives share."""

    metrics: tuple[Literal["bits_per_byte", "minimal_pairs", "classification", "initial_gradient"], ...] = setting(
        ("bits_per_byte", "minimal_pairs", "classification"), "measured of every arm; empty: only losses and tasks")
    losses: tuple[Any, ...] = setting((), "objectives whose held-out loss is measured, each of the arms that were "
                                          "trained by it, with its options as they stand here", variant=OBJECTIVES)
    loss_lengths: tuple[int, ...] = setting((), "lengths of window at which losses are measured; empty: that of "
                                                "training", low=2)
    loss_windows: int = setting(512, "held-out windows, or rows of pairs, for losses; in whole batches", low=1)
    suffixes: int = setting(192, "held-out windows whose second half is scored in bits per byte", low=1)
    minimal_pairs: str | None = setting(None, "BLiMP-style JSON-lines file or folder; none: made from held-out text")
    pairs: int = setting(120, "minimal pairs of each kind", low=1)
    context_tokens: int = setting(24, "tokens of text before a minimal pair made from held-out text; 0: none", low=0)
    fine_tuning: FineTuningConfig = setting(FineTuningConfig, "classification after fine-tuning")
    tasks: tuple[Any, ...] = setting((), "further tasks to measure, each with its own data", variant=TASKS)
