"""Text in, windows of tokens out: corpora, tokenizers, stores of tokens, batches as a function of the step."""
