"""ALiBi: which positions still work in texts longer than those of training?

Paper: Press et al. 2021 (arXiv 2108.12409), Figure 1; rotary, T5's bias and sinusoids beside it.
Reason: the paper's gaps are of more than a nat. What is judged is by how much the loss grows beyond the length of
  training; all arms scale embeddings by √width, without which sinusoids drown tokens and are behind at any length.
At paper scale, other than the paper: sixteen blocks of width 1,024 as there, but C4 with 32,000 pieces in place of
  WikiText-103 with its words and adaptive inputs, and AdamW at 1e-4 along a line.
Command: python -m experiments.reproduce --table=alibi.extrapolation --scale=bench --data=FOLDER
Expected: docs/ablations/alibi_extrapolation.md
"""

from experiments.ablations.protocol import EXPECTATION, at, claims, text_run
from experiments.studies.config import Arm, StudyConfig

SCHEMES = {"learned": "learned", "sinusoidal": "sinusoidal", "rotary": "rotary", "T5 bias": "t5_bias", "ALiBi": "alibi",
           "none": "none"}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    trained = at(scale, bench=64, gpu=256, paper=512)
    lengths = tuple(trained * times for times in (1, 2, 4, 8))
    base, stand_in = text_run(scale, data, words="brown", text="WikiText-103", changes={
        "data.length": trained, "data.segments": False, "model.max_len": lengths[-1],
        "model.scale_embeddings": True,
        **at(scale, bench={"batch_size": 32}, gpu={}, paper={"model.width": 1024, "model.depth": 16, "model.heads": 8,
                                                              "steps": 286_000, "batch_size": 18})})
    growth, near = "loss/causal_lm_growth", f"loss/causal_lm_at_{trained}"
    source = "Press et al. 2021, Figure 1"
    return StudyConfig(
        title=f"Texts longer than in training, at {scale} scale",
        question=f"A causal language model is trained on windows of {trained} tokens. What is its loss in windows of "
                 f"{', '.join(map(str, lengths[1:]))}?",
        base=base, arms=tuple(Arm(name, {"model.position": scheme}) for name, scheme in SCHEMES.items()),
        varies=("model.position",), reference="alibi", match="steps", metrics=(), losses=("causal_lm",),
        loss_lengths=lengths, scale=scale, stand_in=stand_in,
        claims=(*claims(source, growth,
                        ("ALiBi extrapolates better than rotary positions", "useful to about 200 tokens beyond 512 "
                         "(rotary), to more than 15,000 (ALiBi)", "alibi", "rotary"),
                        ("ALiBi extrapolates better than sinusoids", "about 50 tokens beyond 512", "alibi",
                         "sinusoidal"),
                        ("Rotary positions extrapolate better than sinusoids", "200 against 50 tokens", "rotary",
                         "sinusoidal"),
                        ("T5's bias extrapolates better than rotary positions", "600 against 200 tokens", "t5_bias",
                         "rotary")),
                *claims(EXPECTATION, growth, ("Sinusoids extrapolate better than learned positions", "", "sinusoidal",
                                              "learned")),
                *claims(source, near, ("Within the length of training ALiBi is at least as good as sinusoids",
                                       "WikiText-103, 3072: 17.60 against 18.67", "alibi", "sinusoidal"),
                        verified=False)))
