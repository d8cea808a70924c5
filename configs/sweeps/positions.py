"""Position schemes, each at two learning rates, and ALiBi with shorter windows.

Reason: a scheme that learns faster may only like another learning rate; so every scheme is given both. Sliding windows
  are tried on ALiBi alone, whose bias fades with distance anyway.
Command: python -m experiments.sweep --config=configs/base.py --sweep_file=configs/sweeps/positions.py
  --workdir=runs/positions_sweep
Expected: rotary ahead of learned, none behind both; 9 combinations × 3 seeds. Not run.
"""


def get_hyper(hyper):
    rates = hyper.sweep("optimizer.learning_rate", [1e-3, 2e-3])
    schemes = hyper.sweep("model.position", ["none", "learned", "rotary", "alibi"])
    windowed = hyper.zipit([hyper.sweep("model.position", ["alibi"]), hyper.sweep("model.windows", [(0, 32)])])
    return hyper.chainit([hyper.product([schemes, rates]), windowed])
