"""The files that tokenizers are kept in."""

import hashlib
import os
import pathlib
from collections.abc import Mapping

from arch_zoo.errors import UserError
from arch_zoo.files import sha256_of_file, write_bytes_atomic

MODEL_FILE = "tokenizer.model"  # ours; LLaMA's has the same name
LIBRARY_FILE = "tokenizer.json"  # of the library `tokenizers`; it says everything but the roles of special tokens
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_FILES = (CONFIG_FILE, "special_tokens_map.json", "added_tokens.json")
SENTENCEPIECE_FILES = (MODEL_FILE, "spiece.model", "spm.model", "sentencepiece.bpe.model", "sentencepiece.model")
BPE_FILES = ("vocab.json", "merges.txt")
WORDPIECE_FILE = "vocab.txt"
# Those that decide which kind of tokenizer it is come last: a copy that was cut short has none of them.
TOKENIZER_FILES = (*SPECIAL_FILES, *BPE_FILES, WORDPIECE_FILE, *SENTENCEPIECE_FILES, LIBRARY_FILE)


def tokenizer_files(directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """{name: path} of the files in a directory that are of a tokenizer."""
    return {name: directory / name for name in TOKENIZER_FILES if (directory / name).is_file()}


def sha256_of_files(files: Mapping[str, pathlib.Path]) -> str:
    """Hexadecimal SHA-256 of one file, or of the names and hashes of several."""
    hashes = {name: sha256_of_file(path) for name, path in files.items()}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return hashlib.sha256("".join(f"{name} {hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()


def copy_tokenizer(files: Mapping[str, pathlib.Path], target: str | os.PathLike) -> tuple[str, ...]:
    """Copy a tokenizer's files, as `tokenizer_files` finds them, into a directory; the names of the copied.

    Each file is written whole or not at all, those that decide which tokenizer it is last. UserError where the target
    holds files of another tokenizer, with which they would mix.
    """
    for name in tokenizer_files(pathlib.Path(target)):
        if name not in files:
            raise UserError(f"{target}: holds {name} of another tokenizer; use another directory, or remove it")
    names = tuple(sorted(files, key=TOKENIZER_FILES.index))
    for name in names:
        write_bytes_atomic(pathlib.Path(target) / name, files[name].read_bytes())
    return names
