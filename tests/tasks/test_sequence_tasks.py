"""Sequence tasks: what a run writes for its own test pairs, or others', and how that is scored."""

import pytest
import sacrebleu

from arch_zoo.errors import UserError
from arch_zoo.files import write_text_atomic
from arch_zoo.objectives.base import Undefined
from arch_zoo.tasks.base import Subject
from arch_zoo.tasks.translation import ExactMatch, Translation
from arch_zoo.training.trained import open_run
from tests import runs

WORDS = ("ba", "de", "ki", "lo")


@pytest.fixture(scope="module")
def copier(tmp_path_factory):
    """A run that has learnt a little of copying one word or two; with the folder of its pairs."""
    home = tmp_path_factory.mktemp("copier")
    texts = [a if a == b else f"{a} {b}" for a in WORDS for b in WORDS]
    for split, times in (("train", 20), ("val", 1), ("test", 1)):
        write_text_atomic(home / f"{split}.tsv", "".join(f"{text}\t{text}\n" for text in texts * times))
    runs.trained(f"parallel:{home}/*.tsv", home / "run", objective="translation", model__architecture="encoder_decoder",
                 model__width=32, model__position="rotary", steps=120, optimizer__learning_rate=1e-2,
                 data__tokenizer__vocab_size=300, data__tokenizer__kind="bpe", data__tokenizer__sentinels=20,
                 evaluate_every=60, checkpoint_every=60)
    return home


@pytest.fixture(scope="module")
def subject(copier):
    return Subject.of(open_run(copier / "run"))


def test_the_runs_own_test_pairs_are_scored_by_sacrebleu(subject):
    outcome = Translation(max_tokens=16).run(subject)
    written = [sample["resps"][0] for sample in outcome.samples]
    references = [[sample["target"] for sample in outcome.samples]]
    assert len(written) == outcome.count == len(WORDS) ** 2
    assert outcome.values["bleu"].value == pytest.approx(sacrebleu.BLEU().corpus_score(written, references).score)
    assert outcome.values["chrf"].value == pytest.approx(sacrebleu.CHRF().corpus_score(written, references).score)
    assert f"version:{sacrebleu.__version__}" in outcome.how and "beam 4, length penalty 0.6 (google)" in outcome.how


def test_exact_match_is_the_share_of_right_sequences(subject, copier, tmp_path):
    outcome = ExactMatch(max_tokens=16).run(subject)
    right = [sample["resps"][0].split() == sample["target"].split() for sample in outcome.samples]
    assert outcome.values["exact_match"].value == sum(right) / len(right) > 0.5
    assert [bool(sample["exact_match"]) for sample in outcome.samples] == right

    # Given as files of its own, and with what is right exchanged, none is.
    sources = [sample["doc"]["source"] for sample in outcome.samples]
    write_text_atomic(tmp_path / "a", "".join(f"{source}\n" for source in sources))
    write_text_atomic(tmp_path / "b", "".join("no such word\n" for _ in sources))
    exchanged = ExactMatch(max_tokens=16, data=f"{tmp_path}/a,{tmp_path}/b").run(subject)
    assert [one["resps"] for one in exchanged.samples] == [one["resps"] for one in outcome.samples]
    assert exchanged.values["exact_match"].value == 0


def test_a_limit_takes_the_first_pairs(subject):
    assert [s["doc_id"] for s in ExactMatch(max_tokens=16, limit=3).run(subject).samples] == [0, 1, 2]


def test_what_has_no_pairs_is_refused_in_a_line(copier, subject, tmp_path):
    with pytest.raises(UserError, match="task translation: .*nowhere.tsv: no such file"):
        Translation(data=f"{tmp_path}/nowhere.tsv").require_data()
    with pytest.raises(Undefined, match="not trained on pairs of texts"):
        asked = open_run(copier / "run", {"objective": "prefix_lm", "data.corpus": "python_docs"})
        Translation().run(Subject.of(asked))
    write_text_atomic(tmp_path / "torn.tsv", "ba\tba\nde\n")
    with pytest.raises(UserError, match="torn.tsv:2: has 0 tabs"):
        Translation(data=str(tmp_path / "torn.tsv")).run(subject)
