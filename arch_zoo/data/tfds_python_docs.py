"""`python_docs` as a dataset of TensorFlow Datasets: the same documents, read the way any TFDS corpus is.

Importing this module registers the dataset `arch_zoo_python_docs`. It is prepared and read without TensorFlow.
"""

from collections.abc import Iterator

import tensorflow_datasets as tfds

from arch_zoo.data.python_docs import SPLITS, PythonDocs


class ArchZooPythonDocs(tfds.core.GeneratorBasedBuilder):
    """One record per document. The content is that of the interpreter which prepares it."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        # `dataset_info_from_configs` would look for a folder of metadata beside this file.
        return tfds.core.DatasetInfo(
            builder=self, description="Docstrings of Python's standard library and topics of pydoc.",
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()}), disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        corpus = PythonDocs()
        return {split: self._generate_examples(corpus, split) for split in SPLITS}

    def _generate_examples(self, corpus: PythonDocs, split: str) -> Iterator[tuple[int, dict[str, str]]]:
        for number, document in enumerate(corpus.documents(split)):
            yield number, {"text": document}
