"""The worker that makes transformers' training step on torch: python -m benchmarks.steps.peer MODE DTYPE DEVICE FOLDER

MODE is eager or compiled. The loss is taken of all logits, as transformers' models do, with our targets.
"""

import sys

from arch_zoo.errors import UserError
from benchmarks.steps.worker import Made, serve


def make_step(mode: str, dtype: str, device: str, folder: str) -> Made:
    """The same weights, batch, optimizer and clipping as ours."""
    import numpy as np
    import torch
    import transformers

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(f"torch {torch.__version__} sees no GPU here; a build for CUDA is needed")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.backends.cuda.matmul.allow_tf32 = True
    inputs = {name: torch.tensor(array).to(device) for name, array in np.load(f"{folder}/batch.npz").items()}
    targets = inputs.pop("targets").long().flatten()
    kind = getattr(transformers, transformers.AutoConfig.from_pretrained(folder).architectures[0])
    model = kind.from_pretrained(folder, dtype=torch.float32).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.1, fused=True)
    forward = torch.compile(model) if mode == "compiled" else model

    def step() -> float:
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = forward(**inputs, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets, ignore_index=-100)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    memory = {} if device == "cpu" else {"peak_bytes": torch.cuda.max_memory_allocated,
                                         "forget_peak": torch.cuda.reset_peak_memory_stats}
    return Made(step, {"attention": model.config._attn_implementation, "threads": torch.get_num_threads(),
                       "torch": torch.__version__, "transformers": transformers.__version__,
                       "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}, **memory)


if __name__ == "__main__":
    serve(lambda: make_step(*sys.argv[1:]))
