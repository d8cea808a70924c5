"""T5, the architectures of its Table 2, and T5 1.1."""

from arch_zoo.zoo.row import Recipe, System

_SWITCHES = {"architecture": "encoder_decoder", "position": "t5_bias", "position.buckets": 32,
             "position.max_distance": 128, "norm": "rms_norm", "norm_epsilon": 1e-6, "placement": "pre",
             "activation": "relu", "attention_bias": False, "mlp_bias": False, "scale_attention": False,
             "tied_embeddings": True, "scale_logits": True, "initializer": "fan_in", "scale_residual_init": False,
             "embedding_dropout": 0.1, "attention_dropout": 0.1, "mlp_dropout": 0.1, "residual_dropout": 0.1,
             "vocab_size": 32_128}
_BASE = {"depth": 12, "width": 768, "heads": 12, "head_dim": 64, "mlp_dim": 3072}
_SENTINELS = {"data.tokenizer.sentinels": 100}
# 568 tokens of text become 512 in the encoder and 114 in the decoder; here one fewer in the encoder.
_RECIPE = Recipe(length=512, window=568, objective={"rate": 0.15, "mean_span": 3.0}, optimizer={
    "kind": "adafactor", "learning_rate": 0.01, "schedule": "inverse_square_root", "warmup_steps": 10_000},
    remark="the rate is constant for the first 10,000 steps, where ours rises to it")

T5 = System(
    key="t5", title="T5", lineage="T5", date="2019-10", authors="Raffel et al.",
    paper="Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", parent="transformer",
    change="relative bias, norm first",
    objective="span corruption 15 %, mean 3, and tasks", trains="span_corruption", switches=_SWITCHES, also=_SENTINELS,
    recipe=_RECIPE.but(sequences=2048, steps=10**6))
T5.size("t5_small", "60M", depth=6, width=512, heads=8, head_dim=64, mlp_dim=2048, weights="google-t5/t5-small")
T5.size("t5_base", "220M", weights="google-t5/t5-base", **_BASE)
T5.size("t5_large", "770M", depth=24, width=1024, heads=16, head_dim=64, mlp_dim=4096, weights="google-t5/t5-large",
        note="the printed sizes give 738M")
T5.size("t5_3b", "2.8B", depth=24, width=1024, heads=32, head_dim=128, mlp_dim=16_384, weights="google-t5/t5-3b",
        note="cut off rather than rounded: 2.852 billion")
T5.size("t5_11b", "11B", depth=24, width=1024, heads=128, head_dim=128, mlp_dim=65_536, weights="google-t5/t5-11b")

# The five architectures of Table 2, all at the size of BERT's base.
_P = "printed as P, half of the 220M of two stacks"
_DENOISING = {"objective": "denoising 15 %", "recipe": _RECIPE.but(sequences=128, steps=2**19)}
_LANGUAGE = {"recipe": Recipe(length=512, sequences=128, steps=2**19, optimizer=_RECIPE.optimizer,
                              remark=_RECIPE.remark)}
T5.size("t5_table2_enc_dec", "220M", note="the baseline; printed as 2P, about 220 million", **_BASE, **_DENOISING)
T5.size("t5_table2_shared", "110M", share_stacks=True, **_BASE, **_DENOISING,
        note=f"{_P}; cross-attention, which is not shared, makes it 138M")
T5.size("t5_table2_6_layers", "110M", **_BASE | {"depth": 6}, **_DENOISING,
        note=f"{_P}; cross-attention and the vocabulary, which is not halved, make it 124M")
T5.size("t5_table2_lm", "110M", architecture="decoder_only", objective="causal LM, or denoising", trains="causal_lm",
        note=_P, **_BASE, **_LANGUAGE)
T5.size("t5_table2_prefix_lm", "110M", architecture="prefix_decoder", objective="prefix LM, or denoising",
        trains="prefix_lm", note=_P, **_BASE, **_LANGUAGE)

_NO_DROPOUT = dict.fromkeys(("embedding_dropout", "attention_dropout", "mlp_dropout", "residual_dropout"), 0.0)
T5_1_1 = System(
    key="t5_1_1", title="T5 1.1", lineage="T5", date="2020-10", authors="Raffel et al.",
    paper="released checkpoints of T5; GLU Variants Improve Transformer (Shazeer 2020)", parent="t5",
    change="GeGLU, untied output",
    objective="span corruption 15 %, mean 3", trains="span_corruption", also=_SENTINELS,
    switches=_SWITCHES | _NO_DROPOUT | {"activation": "gelu_tanh", "gated": True, "tied_embeddings": False,
                                        "scale_logits": False},
    recipe=Recipe(length=512, window=568, objective=_RECIPE.objective, optimizer={"kind": "adafactor"}))
T5_1_1.size("t5_1_1_small", "77M", depth=8, width=512, heads=6, head_dim=64, mlp_dim=1024,
            weights="google/t5-v1_1-small")
T5_1_1.size("t5_1_1_base", "250M", weights="google/t5-v1_1-base", **_BASE | {"mlp_dim": 2048})
T5_1_1.size("t5_1_1_large", "800M", depth=24, width=1024, heads=16, head_dim=64, mlp_dim=2816,
            weights="google/t5-v1_1-large")
T5_1_1.size("t5_1_1_xl", "3B", depth=24, width=2048, heads=32, head_dim=64, mlp_dim=5120, weights="google/t5-v1_1-xl")
T5_1_1.size("t5_1_1_xxl", "11B", depth=24, width=4096, heads=64, head_dim=64, mlp_dim=10_240,
            weights="google/t5-v1_1-xxl")
