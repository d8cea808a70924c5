"""Text from TensorFlow Datasets, as a corpus; imported lazily, and read without TensorFlow."""

import contextlib
import hashlib
import importlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from arch_zoo.data.splits import NAMED, SPLIT_NAME, Carved, CarvedPairs
from arch_zoo.errors import UserError
from arch_zoo.registry import did_you_mean

if TYPE_CHECKING:  # importing it loads every model and objective
    from arch_zoo.config import DataConfig


class TfdsText(Carved):
    """A prepared dataset of TensorFlow Datasets, read without TensorFlow."""

    def __init__(self, config: "DataConfig"):
        self.name, self._fields = config.corpus.removeprefix("parallel:"), self._fields_of(config.text_field)
        self._builder = prepared_builder(self.name)
        features = self._builder.info.features
        if lacking := [field for field in self._fields if field not in features]:
            raise UserError(f"{self.name}: has no feature {lacking[0]!r}.{did_you_mean(lacking[0], features)} "
                            f"data.text_field names the feature with the text, SOURCE,TARGET for pairs; here are: "
                            f"{', '.join(features)}")
        self._theirs = {}  # our name of a split: the name there
        for name in self._builder.info.splits:
            if match := SPLIT_NAME.fullmatch(name):
                self._theirs.setdefault(NAMED[(match[1] or match[3]).lower()], name)
        if "train" not in self._theirs:
            raise UserError(f"{self.name}: has no train split; it has {', '.join(self._builder.info.splits)}")
        self._present = frozenset(self._theirs)
        self._advice = "the dataset is too small for held-out splits of its own"
        splits = {name: [info.num_bytes, info.shard_lengths] for name, info in self._builder.info.splits.items()}
        identity = [self._builder.info.full_name, self._builder.info.features.to_json(), splits, *self._fields]
        self.fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @staticmethod
    def _fields_of(text_field: str) -> tuple[str, ...]:
        return (text_field,)

    def _read(self, split: str) -> Iterator[str]:
        return (text for _, text in self._records(split))

    def _records(self, split: str) -> Iterator[tuple[str, ...]]:
        """(where it stands, a text for each field) of each record."""
        for number, record in enumerate(self._builder.as_data_source(split=self._theirs[split])):
            where = f"{split} record {number}"
            yield f"{self.name}: {where}", *(self._text(record[field], field, where) for field in self._fields)

    def _text(self, value: Any, field: str, where: str) -> str:
        try:
            return value.decode("utf-8")
        except (AttributeError, UnicodeDecodeError):
            raise UserError(f"{self.name}: feature {field!r} of {where} is no text") from None


class TfdsPairs(CarvedPairs, TfdsText):
    """parallel:tfds:NAME: the pairs of a dataset, of which data.text_field names two features, SOURCE,TARGET."""

    @staticmethod
    def _fields_of(text_field: str) -> tuple[str, ...]:
        fields = tuple(text_field.split(","))
        if len(fields) != 2:
            raise UserError(f"data.text_field={text_field}: pairs have two features; name them as SOURCE,TARGET")
        return fields

    def _read_pairs(self, split: str) -> Iterator[tuple[str, str, str]]:
        for where, *texts in self._records(split):
            yield where, *(" ".join(text.split()) for text in texts)


def prepared_builder(corpus: str):
    """The builder of a dataset that can be read without TensorFlow; UserError where it is not there, or not so."""
    builder, how = tfds_builder(corpus), f"python -m experiments.prepare --corpus={corpus}"
    if not builder.info.splits:
        raise UserError(f"{corpus}: not prepared in {builder.data_dir}; prepare it with {how}, or set TFDS_DATA_DIR to "
                        f"where it is")
    if builder.info.file_format.value != "array_record":
        raise UserError(f"{corpus}: prepared in {builder.data_dir} as {builder.info.file_format.value}, which needs "
                        f"TensorFlow to be read; move it away and prepare it again with {how}")
    return builder


def tfds_builder(corpus: str):
    """The builder of "tfds:NAME[/CONFIG][:VERSION]", prepared or not; UserError where there is no such dataset."""
    try:
        import tensorflow_datasets as tfds

        import arch_zoo.data.tfds_python_docs  # noqa: F401  (importing registers it)
    except ImportError as error:
        raise UserError(f"{corpus}: needs TensorFlow Datasets ({error}); "
                        f"pip install tensorflow-datasets importlib_resources") from None
    for package in ("text", "translate", "summarization"):  # older datasets register only when these are imported
        with contextlib.suppress(ImportError):
            importlib.import_module(f"tensorflow_datasets.{package}")
    name = corpus.removeprefix("tfds:")
    try:
        configs = tfds.builder_cls(name.partition("/")[0].partition(":")[0]).builder_configs
        config = name.partition(":")[0].partition("/")[2]
        if config and config not in configs:
            raise UserError(f"{corpus}: there is no such config.{did_you_mean(config, configs)} "
                            f"There are {', '.join(list(configs)[:12]) or 'none'}{' …' if len(configs) > 12 else ''}")
        builder = tfds.builder(name)
        # What is prepared has its format, which TfdsText judges.
        return builder if builder.info.splits else tfds.builder(name, file_format="array_record")
    except tfds.core.DatasetNotFoundError:
        known = [f"tfds:{n}" for n in tfds.list_builders(with_community_datasets=False)]
        raise UserError(f"{corpus}: TensorFlow Datasets has no such dataset.{did_you_mean(corpus, known)} "
                        f"All names: https://www.tensorflow.org/datasets/catalog") from None
    except ModuleNotFoundError as error:
        raise UserError(f"{corpus}: needs {error.name or 'TensorFlow'}; pip install 'arch_zoo[tfds-prepare]'") from None
    except (ValueError, AssertionError) as error:  # not a name, or no such version: the text says what there is
        raise UserError(f"{corpus}: {' '.join(str(error).split())[:300]}") from None


def prepare_tfds(corpus: str) -> str:
    """Download and prepare a dataset in the format that is read without TensorFlow; the folder it is in."""
    builder = tfds_builder(corpus)
    try:
        builder.download_and_prepare()
    except OSError as error:
        if error.errno is not None:  # of the disk, not of the network
            raise
        raise UserError(f"{corpus}: could not be fetched ({' '.join(str(error).split())[:200]}); prepare it on a "
                        f"machine that reaches it, and set TFDS_DATA_DIR to a copy") from None
    except ImportError as error:  # TFDS fetches and unpacks its own datasets with TensorFlow, the largest with Beam
        raise UserError(f"{corpus}: preparing it needs {error.name or 'TensorFlow'}; "
                        f"pip install 'arch_zoo[tfds-prepare]', once, on any machine") from None
    return str(builder.data_dir)
