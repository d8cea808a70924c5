"""Tokenizers travel with their checkpoints: written so that transformers loads them."""

import json
import os
import pathlib
import re
from typing import Any

from arch_zoo.data.tokenizers import Tokenizer
from arch_zoo.data.tokenizers.base import PROBES, SPACE
from arch_zoo.data.tokenizers.files import CONFIG_FILE, LIBRARY_FILE, copy_tokenizer, tokenizer_files
from arch_zoo.data.tokenizers.library_files import added_token
from arch_zoo.data.tokenizers.own import OwnTokenizer
from arch_zoo.errors import UserError
from arch_zoo.files import write_json_atomic

_UNLIKELY = 32  # times the lowest score: below that of any symbol's characters one by one


def export_tokenizer(tokenizer: Tokenizer, target: str | os.PathLike) -> str:
    """Write a tokenizer into an exported checkpoint's directory; says in a line what is there now.

    Somebody else's is copied. One of our own is written as tokenizer.model and, where its ids come out the same, as
    the tokenizer.json that transformers reads. There, by transformers' own rules, text that spells a special symbol
    gives that symbol unless split_special_tokens is set (here it is text), and nothing adds BOS and EOS. Of two unigram
    segmentations whose likelihoods differ by less than rounding the other one may come out there, in long repetitions.
    """
    directory = pathlib.Path(target)
    stale = tokenizer_files(directory).keys() - tokenizer.files.keys() - {LIBRARY_FILE, CONFIG_FILE}
    if stale:
        raise UserError(f"{directory}: holds {min(stale)} of another tokenizer; use another directory, or remove it")
    copy_tokenizer(tokenizer.files, directory)
    if not isinstance(tokenizer, OwnTokenizer):
        return f"the tokenizer as it was imported: {', '.join(tokenizer.files)}"
    if problem := _write_library_file(tokenizer, directory):
        return f"{', '.join(tokenizer.files)} alone, which arch_zoo reads; transformers does not, since {problem}"
    return f"{', '.join(tokenizer.files)}, and {LIBRARY_FILE}, which transformers reads, with the same ids"


def _write_library_file(tokenizer: OwnTokenizer, directory: pathlib.Path) -> str | None:
    """Write tokenizer.json and its config, or say why that cannot be."""
    try:
        import tokenizers
    except ImportError:
        return "writing a tokenizer.json needs the library tokenizers: pip install 'arch_zoo[tokenizers]'"
    specification = library_specification(tokenizer)
    if specification is None:
        return "only unigram and BPE models can be written as a tokenizer.json"
    library = tokenizers.Tokenizer.from_str(json.dumps(specification))
    texts = [*(text.partition(" <mask>")[0] for text in PROBES), SPACE, "\n\n\n", "  " * 9, "aaaaaaa", "==== ===="]
    if wrong := [text for text in texts if library.encode(text).ids != tokenizer.encode(text)]:
        return f"its ids would differ, for instance of {wrong[0]!r}"
    v = tokenizer.vocabulary
    named = {f"{role}_token": tokenizer.pieces([i])[0] for role, i in
             (("pad", v.pad_id), ("unk", v.unk_id), ("bos", v.bos_id), ("eos", v.eos_id), ("mask", v.mask_id))}
    write_json_atomic(directory / CONFIG_FILE, {
        "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **named,
        "additional_special_tokens": tokenizer.pieces(v.sentinel_ids)})
    write_json_atomic(directory / LIBRARY_FILE, specification)
    return None


def library_specification(tokenizer: OwnTokenizer) -> dict[str, Any] | None:
    """The content of the tokenizer.json that encodes as one of our sentencepiece models, or None for other kinds.

    Its pieces have spaces as such, so the character by which sentencepiece spells them falls back to bytes, as it does
    here. A unigram model would also find its symbols and bytes in text that spells them: they are too unlikely to be
    chosen, and text is cut at those of their characters that are in no piece, where it would fall apart anyway.
    """
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(next(iter(tokenizer.files.values())).read_bytes())
    kinds, spec = proto.SentencePiece, proto.trainer_spec
    text_kinds = (kinds.NORMAL, kinds.USER_DEFINED)
    names = [p.piece.replace(SPACE, " ") if p.type in text_kinds else p.piece for p in proto.pieces]
    added = [added_token(i, names[i], special=True) for i in map(int, tokenizer.vocabulary.is_special.nonzero()[0])]
    scores = [p.score for p in proto.pieces if p.type == kinds.NORMAL]
    cut = None
    if spec.model_type == spec.UNIGRAM:
        def score(i: int) -> float:
            piece = proto.pieces[i]
            if piece.type == kinds.USER_DEFINED:  # as sentencepiece weighs them
                return len(names[i].encode()) * max(scores) - 0.1
            return piece.score if piece.type == kinds.NORMAL else _UNLIKELY * min(scores)

        model = {"type": "Unigram", "unk_id": spec.unk_id, "byte_fallback": True,
                 "vocab": [[name, score(i)] for i, name in enumerate(names)]}
        known, symbols = ("".join(name for p, name in zip(proto.pieces, names, strict=True)
                                  if (p.type in text_kinds) == is_text) for is_text in (True, False))
        if apart := sorted(set(symbols) - set(known)):
            cut = {"type": "Split", "pattern": {"Regex": f"[{re.escape(''.join(apart))}]"}, "behavior": "Isolated",
                   "invert": False}
    elif spec.model_type == spec.BPE:
        added += [{**added_token(i, names[i], special=False), "normalized": False}
                  for i, piece in enumerate(proto.pieces) if piece.type == kinds.USER_DEFINED]
        normal = {names[i]: piece.score for i, piece in enumerate(proto.pieces) if piece.type == kinds.NORMAL}
        model = {"type": "BPE", "unk_token": names[spec.unk_id], "fuse_unk": True, "byte_fallback": True,
                 "dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                 "vocab": {name: i for i, name in enumerate(names)}, "merges": _merges(normal)}
    else:
        return None
    return {"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": cut,
            "post_processor": None, "added_tokens": sorted(added, key=lambda token: token["id"]), "model": model,
            "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}}


def _merges(scores: dict[str, float]) -> list[list[str]]:
    """Every pair of pieces that makes a piece, those first that sentencepiece would merge first: by the piece's score.
    """
    pairs = [(-score, piece[:cut], piece[cut:]) for piece, score in scores.items() for cut in range(1, len(piece))
             if piece[:cut] in scores and piece[cut:] in scores]
    return [[left, right] for _, left, right in sorted(pairs, key=lambda pair: pair[0])]
