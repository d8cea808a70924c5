"""Training: optimizer, state, the one step, its spread over devices, checkpoints, metrics, the loop."""
