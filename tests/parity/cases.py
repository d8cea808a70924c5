"""Small configs of reference classes, in sizes odd enough that no two axes can be taken for each other."""

import dataclasses
from typing import Any

DECODER, ENCODER, BOTH = "decoder", "encoder", "encoder-decoder"
VOCABULARY = 61


@dataclasses.dataclass(frozen=True)
class Case:
    """A class of transformers, with the config to make it from."""

    name: str
    kind: str
    config_class: str
    model_class: str
    options: dict[str, Any]
    attention: str = "eager"


def _case(name: str, kind: str, stem: str, model_class: str, attention: str = "eager", **options: Any) -> Case:
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return Case(name, kind, f"{stem}Config", model_class, special | {"vocab_size": VOCABULARY} | options, attention)


_GPT = {"n_positions": 32, "n_embd": 24, "n_layer": 3, "n_head": 3}
_BERT = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 40,
         "max_position_embeddings": 32}
_ROBERTA = _BERT | {"max_position_embeddings": 34, "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0}
_T5 = {"d_model": 24, "d_kv": 6, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 3,
       "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12, "decoder_start_token_id": 0}
_BART = {"d_model": 24, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 3,
         "decoder_attention_heads": 3, "encoder_ffn_dim": 40, "decoder_ffn_dim": 40, "max_position_embeddings": 32}
_LLAMA = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2,
          "intermediate_size": 40, "max_position_embeddings": 32}
_FALCON = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "ffn_hidden_size": 40}
_OPT = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "ffn_dim": 40,
        "max_position_embeddings": 32, "pad_token_id": 1, "bos_token_id": 2}
_NEOX = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 40,
         "max_position_embeddings": 32, "rotary_pct": 0.5}
_ROPES = {"linear": {"rope_type": "linear", "factor": 3.0, "rope_theta": 500.0},
          "llama3": {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 16, "rope_theta": 500.0},
          "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 500.0}}

CASES = [
    _case("gpt1", DECODER, "OpenAIGPT", "OpenAIGPTLMHeadModel", **_GPT),
    _case("gpt2", DECODER, "GPT2", "GPT2LMHeadModel", **_GPT),
    _case("gpt2_odd", DECODER, "GPT2", "GPT2LMHeadModel", **_GPT | {"n_inner": 36, "activation_function": "relu"},
          scale_attn_weights=False, tie_word_embeddings=False),
    _case("gptj", DECODER, "GPTJ", "GPTJForCausalLM", **_GPT | {"n_embd": 30}, rotary_dim=4, n_inner=36),
    _case("gpt_neox", DECODER, "GPTNeoX", "GPTNeoXForCausalLM", **_NEOX),
    _case("gpt_neox_sequential", DECODER, "GPTNeoX", "GPTNeoXForCausalLM", **_NEOX, use_parallel_residual=False,
          attention_bias=False, tie_word_embeddings=True),
    _case("llama", DECODER, "Llama", "LlamaForCausalLM", **_LLAMA),
    _case("llama_odd", DECODER, "Llama", "LlamaForCausalLM", **_LLAMA, head_dim=10, attention_bias=True, mlp_bias=True,
          tie_word_embeddings=True, hidden_act="gelu"),
    *[_case(f"llama_{name}", DECODER, "Llama", "LlamaForCausalLM", **_LLAMA | {"hidden_size": 48},
            rope_parameters=rope) for name, rope in _ROPES.items()],
    _case("mistral", DECODER, "Mistral", "MistralForCausalLM", **_LLAMA, sliding_window=4),
    _case("gemma", DECODER, "Gemma", "GemmaForCausalLM", **_LLAMA | {"num_key_value_heads": 1}, head_dim=10),
    _case("falcon_7b", DECODER, "Falcon", "FalconForCausalLM", **_FALCON),
    _case("falcon_40b", DECODER, "Falcon", "FalconForCausalLM", **_FALCON, new_decoder_architecture=True,
          num_kv_heads=2),
    _case("falcon_11b", DECODER, "Falcon", "FalconForCausalLM", **_FALCON, new_decoder_architecture=True,
          num_kv_heads=2, num_ln_in_parallel_attn=1),
    # Eager attention of transformers 5.23 adds ALiBi twice, once in the mask and once more.
    _case("falcon_rw", DECODER, "Falcon", "FalconForCausalLM", "sdpa", **_FALCON, multi_query=False, alibi=True,
          bias=True, parallel_attn=False),
    _case("bloom", DECODER, "Bloom", "BloomForCausalLM", hidden_size=24, n_layer=3, n_head=3),
    _case("opt", DECODER, "OPT", "OPTForCausalLM", **_OPT),
    _case("opt_350m", DECODER, "OPT", "OPTForCausalLM", **_OPT, do_layer_norm_before=False, word_embed_proj_dim=10),
    _case("bert", ENCODER, "Bert", "BertForPreTraining", **_BERT),
    _case("bert_mlm", ENCODER, "Bert", "BertForMaskedLM", **_BERT, tie_word_embeddings=False),
    _case("bert_nsp", ENCODER, "Bert", "BertForNextSentencePrediction", **_BERT, hidden_act="gelu_new"),
    _case("bert_bare", ENCODER, "Bert", "BertModel", **_BERT),
    _case("roberta", ENCODER, "Roberta", "RobertaForMaskedLM", **_ROBERTA),
    _case("electra_discriminator", ENCODER, "Electra", "ElectraForPreTraining", **_BERT, embedding_size=10),
    _case("electra_generator", ENCODER, "Electra", "ElectraForMaskedLM", **_BERT, embedding_size=24),
    _case("electra_small_generator", ENCODER, "Electra", "ElectraForMaskedLM", **_BERT, embedding_size=10),
    _case("albert", ENCODER, "Albert", "AlbertForPreTraining", **_BERT, embedding_size=10),
    _case("albert_mlm", ENCODER, "Albert", "AlbertForMaskedLM", **_BERT, embedding_size=10, hidden_act="relu"),
    _case("distilbert", ENCODER, "DistilBert", "DistilBertForMaskedLM", dim=24, n_layers=3, n_heads=3, hidden_dim=40,
          max_position_embeddings=32),
    _case("modernbert", ENCODER, "ModernBert", "ModernBertForMaskedLM", **_BERT | {"num_hidden_layers": 5},
          local_attention=6, cls_token_id=1, sep_token_id=2),
    _case("modernbert_bare", ENCODER, "ModernBert", "ModernBertModel", **_BERT, local_attention=6, cls_token_id=1,
          sep_token_id=2),
    _case("t5", BOTH, "T5", "T5ForConditionalGeneration", **_T5),
    _case("t5_1_1", BOTH, "T5", "T5ForConditionalGeneration", **_T5, feed_forward_proj="gated-gelu",
          tie_word_embeddings=False),
    _case("mt5", BOTH, "MT5", "MT5ForConditionalGeneration", **_T5, feed_forward_proj="gated-gelu"),
    _case("bart", BOTH, "Bart", "BartForConditionalGeneration", **_BART | {"pad_token_id": 1, "bos_token_id": 0}),
    _case("mbart", BOTH, "MBart", "MBartForConditionalGeneration", **_BART | {"pad_token_id": 1, "bos_token_id": 0},
          scale_embedding=True),
    _case("pegasus", BOTH, "Pegasus", "PegasusForConditionalGeneration", **_BART, scale_embedding=True,
          activation_function="relu"),
]

make_case = _case
BY_NAME = {case.name: case for case in CASES}
