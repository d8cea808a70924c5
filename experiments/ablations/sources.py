"""What an ablation reads: what --data names, or what is built in or in TFDS; and the notice where that is not what the
protocol has. A source is a pair: (where text comes from, what it is called in the notice).
"""

import pathlib
import re
from collections.abc import Sequence

from arch_zoo.config import DataConfig
from arch_zoo.errors import UserError
from experiments.studies.config import StudyConfig

Source = tuple[DataConfig, str]

_TEXTS = ("brown", "abc", "movie_reviews", "state_union", "webtext")  # 3.7 million words of English


def text(data: str | None, otherwise: Source, words: str) -> Source:
    """Running text. `words`: only the corpus of this name, of several that a folder has."""
    if data is None:
        return otherwise
    if data.startswith("tfds:"):
        return DataConfig(corpus=data), data
    if (path := pathlib.Path(data).expanduser()).is_file():
        return DataConfig(corpus=str(path)), path.name
    if "," in data and not path.exists():
        raise UserError(f"--data={data}: names pairs of texts, and this table reads running text; give FILE.txt, "
                        f"tfds:NAME or a folder")
    root = _folder(data, "text")
    found = [path for name in ((words,) if words else _TEXTS) if (path := root / f"{name}.txt").is_file()]
    if not found:
        wanted = f"no {words}.txt" if words else f"none of {', '.join(f'{name}.txt' for name in _TEXTS)}"
        raise UserError(f"--data={data}: has {wanted}, neither itself nor in text/; give FILE.txt or tfds:NAME for "
                        f"another text, or leave --data out for the built-in corpus")
    first, *others = map(str, found)
    return DataConfig(corpus=first, mixed_with=tuple(others)), ", ".join(path.name for path in found)


def pairs(data: str | None, otherwise: Source) -> Source:
    """Texts and their translations."""
    if data is None:
        return otherwise
    if data.startswith("tfds:"):
        return DataConfig(corpus=f"parallel:{data}"), data
    files = [pathlib.Path(part).expanduser() for part in data.split(",")]
    if len(files) > 1 or files[0].is_file():
        if len(files) > 2 or not all(file.name for file in files):
            raise UserError(f"--data={data}: expected two files, SOURCES,TARGETS")
        for file in files:
            if not any(file.parent.glob(file.name)):  # a * in a name stands for that of a split
                raise UserError(f"--data={data}: there is no file {file}")
        return DataConfig(corpus=f"parallel:{','.join(map(str, files))}"), " and ".join(file.name for file in files)
    root = _folder(data, "translation")
    if not (root / "multi30k_train.en").is_file():
        raise UserError(f"--data={data}: has no multi30k_train.en, neither itself nor in translation/; give "
                        f"SOURCES,TARGETS, a FILE of pairs or tfds:NAME for other pairs, or leave --data out for the "
                        f"built-in ones")
    return DataConfig(corpus=f"parallel:{root}/multi30k_*.en,{root}/multi30k_*.de"), "Multi30k"


def labelled(data: str | None) -> str | None:
    """The folder with the files of SST-2, where --data names a folder that has them."""
    if data is None or not pathlib.Path(data).expanduser().is_dir():
        return None
    root = _folder(data, "glue")
    return str(root) if any(root.glob("sst2*.tsv")) else None


def _folder(data: str, below: str) -> pathlib.Path:
    root = pathlib.Path(data).expanduser()
    if not root.is_dir():
        raise UserError(f"--data={data}: no such folder or file; a dataset of TFDS is named tfds:NAME")
    return root / below if (root / below).is_dir() else root


def notice(read: str, wanted: str) -> str:
    """What the report says where not the protocol's own text is read."""
    return "" if read == wanted else f"{read} in place of {wanted}"


def stand_in(study: StudyConfig, defined: StudyConfig) -> str:
    """What stands in for data of the protocol in a study, of which `defined` is what its definition says: its text by
    what was given instead, if anything was; the labelled sentences by what is measured.
    """
    was, reads = ((one.base.data.corpus, one.base.data.mixed_with) for one in (defined, study))
    as_said = was == reads or study.stand_in != defined.stand_in
    of_text = study.stand_in if as_said else notice(called(*reads), "the protocol's text")
    docstrings = "classification" in study.metrics
    of_labels = notice("docstrings of Python, classified by package,", "SST-2") if docstrings else ""
    return "; ".join(filter(None, (of_text, of_labels)))


def called(corpus: str, mixed_with: Sequence[str]) -> str:
    """What data.corpus and data.mixed_with name, without the folders of this machine."""
    parts = [part for one in (corpus, *mixed_with) for part in one.removeprefix("parallel:").split(",")]
    return ", ".join(re.sub(r":[~./].*/", ":", part) if ":" in part else pathlib.Path(part).name for part in parts)
