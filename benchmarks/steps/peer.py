"""The worker that makes transformers' training step on torch: python -m benchmarks.steps.peer MODE DTYPE DEVICE FOLDER

MODE is eager or compiled. The loss is taken of all logits, as transformers' models do, with our targets.
"""

import sys

from benchmarks.steps.worker import serve


def make_step(mode: str, dtype: str, device: str, folder: str):
    """(step, facts): the same weights, batch, optimizer and clipping as ours."""
    import numpy as np
    import torch
    import transformers

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

    return step, {"attention": model.config._attn_implementation, "threads": torch.get_num_threads()}


if __name__ == "__main__":
    serve(lambda: make_step(*sys.argv[1:]))
