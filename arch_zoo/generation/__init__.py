"""Text from models: token by token behind a prompt, by beams, and in the gaps of a text."""
