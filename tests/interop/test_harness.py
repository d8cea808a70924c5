"""The lm-evaluation-harness asks our runs: its numbers are those of our own evaluator, request by request."""

import dataclasses
import json
import logging
import math

import jax
import numpy as np
import pytest

from arch_zoo.errors import UserError
from arch_zoo.generation.sampling import Sampling
from arch_zoo.generation.texts import TextWriter
from arch_zoo.interop.harness_arguments import Arguments
from arch_zoo.settings import override
from arch_zoo.tasks.base import Subject
from arch_zoo.tasks.blimp import Blimp
from arch_zoo.tasks.lambada import Lambada
from arch_zoo.tasks.multiple_choice import MultipleChoice
from arch_zoo.tasks.perplexity import Perplexity
from arch_zoo.training.trained import open_run
from tests import runs
from tests.evaluation.toy_text import lines
from tests.runs import many
from tests.toy import toy_batch

pytest.importorskip("lm_eval", reason="the extra harness is not installed: pip install 'arch_zoo[harness]'")
import lm_eval
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

from arch_zoo.interop.lm_eval_harness import ArchZooLM

pytestmark = pytest.mark.parity
ARMS = {"causal": {}, "prefix": {"model.architecture": "encoder_decoder", "objective": "prefix_lm"},
        "masked": {"model.architecture": "encoder_only", "objective": "masked_lm"}}
PAIRS = [("kalin mona tenpi", "mona kalin tenpi"), ("A bapi dena.", "A dena bapi."), ("wenru, lomo", "lomo wenru,"),
         ("seka", "seka na")]
PASSAGES = ["balin dena kimo", "mura lopi sena torka", "An unknown word, ünïcode"]
CHOICES = [("ba", ["lin", "mo", "na"], 0), ("balin dena ", ["ki", "mu ra"], 1), ("dena?\n", ["sen", "sentor", "x"], 2)]
TEXTS = ["balin dena kimo mura\nlopi sena " * 6 + "end", "torna", "wenlin wenlin " * 9 + "dena"]
LENGTH = 12  # of windows
PROMPTS = ["balin dena", "kimo", "mura lopi sena", "tor"]
WAYS = [{"until": ["na"], "max_gen_toks": 6, "do_sample": False, "temperature": 0.7},
        {"until": [], "max_gen_toks": 5, "do_sample": True, "temperature": 0.9, "top_k": 20, "top_p": 0.9}]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run, the files of our tasks, and the same as tasks of the harness."""
    home = tmp_path_factory.mktemp("harness")
    corpus = runs.write_corpus(home / "corpus.txt")
    runs.trained(corpus, home / "run", steps=2)
    lines(home / "blimp.jsonl", *({"sentence_good": good, "sentence_bad": bad, "UID": "all"} for good, bad in PAIRS))
    lines(home / "lambada.jsonl", *({"text": text} for text in PASSAGES))
    lines(home / "multiple_choice.jsonl",
          *({"query": query, "choices": choices, "answer": answer} for query, choices, answer in CHOICES))
    (home / "perplexity.txt").write_text("\n\n".join(TEXTS))
    lines(home / "perplexity.jsonl", *({"text": text} for text in TEXTS))
    lines(home / "generation.jsonl", *({"text": text} for text in PROMPTS))
    (home / "tasks").mkdir()
    for name, task in tasks(home).items():
        (home / "tasks" / f"{name}.yaml").write_text(json.dumps(task))  # JSON is YAML
    return home


def tasks(home) -> dict[str, dict]:
    """The harness's own way to write tasks down, with the options its published ones of these kinds have."""
    def task(name, output_type, metrics, **more):
        return {"task": name, "dataset_path": "json", "test_split": "test", "output_type": output_type,
                "dataset_kwargs": {"data_files": {"test": str(home / f"{name.removeprefix('my_')}.jsonl")},
                                   "cache_dir": str(home / "cache")},
                "metric_list": [{"metric": metric} for metric in metrics], **more}

    found = [
        task("my_blimp", "multiple_choice", ["acc"], doc_to_text="", doc_to_target=0, target_delimiter="",
             doc_to_choice="{{[sentence_good, sentence_bad]}}"),
        task("my_lambada", "loglikelihood", ["acc", "perplexity"], doc_to_text="{{text.split(' ')[:-1]|join(' ')}}",
             doc_to_target="{{' '+text.split(' ')[-1]}}"),
        task("my_multiple_choice", "multiple_choice", ["acc", "acc_mutual_info"], doc_to_text="{{query}}",
             doc_to_target="answer", doc_to_choice="choices"),
        task("my_perplexity", "loglikelihood_rolling", ["word_perplexity", "byte_perplexity", "bits_per_byte"],
             doc_to_text="", doc_to_target="{{text}}"),
        task("my_generation", "generate_until", ["bypass"], doc_to_text="{{text}}", doc_to_target="",
             generation_kwargs=WAYS[0])]
    return {one["task"]: one for one in found}


def opened(home, name):
    """The run, or what it would be as another arm, with parameters that make predictions far from uniform."""
    run = open_run(home / "run")
    config = override(run.config, ARMS[name])
    architecture = config.model.architecture
    model = architecture.build(config.model, len(run.parameters["embedding"]["token_embedding"]), config.dtype)
    batch, rng = toy_batch(config), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: model.init(key, batch, architecture.visibility, train=False)["params"],
                            jax.random.key(0))
    parameters = jax.tree.map(lambda leaf: rng.normal(0, 0.4, leaf.shape).astype(np.float32), shapes)
    return dataclasses.replace(run, config=config, model=model, parameters=parameters)


def asked(home, model, *names, **options) -> dict:
    """What the harness reports of these tasks, without a look at the thousands that it comes with."""
    return lm_eval.simple_evaluate(model, tasks=[tasks(home)[f"my_{name}"] for name in names], bootstrap_iters=0,
                                   task_manager=TaskManager(include_defaults=False), **options)


def responses(report, name) -> list[list]:
    """Of each document: what the model answered to each of its requests."""
    samples = sorted(report["samples"][f"my_{name}"], key=lambda sample: sample["doc_id"])
    return [[one for one, in sample["resps"]] for sample in samples]


def ours(home, task, subject):
    """({metric: value}, nats of each item, greedy of each)."""
    outcome = task.run(subject)
    resps = [sample["resps"] for sample in outcome.samples]
    return ({name: measured.value for name, measured in outcome.values.items()},
            [[nats for nats, _ in resp] for resp in resps], [[greedy for _, greedy in resp] for resp in resps])


@pytest.fixture(scope="module", params=["causal", "prefix"])
def both(home, request):
    """(what the harness reports, the same run as our tasks ask it)."""
    run = opened(home, request.param)
    report = asked(home, ArchZooLM(run, Arguments(length=LENGTH)), "blimp", "lambada", "multiple_choice", "perplexity")
    return report, Subject.of(run)


def test_minimal_pairs(home, both):
    report, subject = both
    values, nats, _ = ours(home, Blimp(data=str(home / "blimp.jsonl"), likelihood="left_to_right"), subject)
    found = responses(report, "blimp")
    np.testing.assert_allclose([[one[0] for one in doc] for doc in found], nats, rtol=1e-5)
    assert report["results"]["my_blimp"]["acc,none"] == values["acc"]


def test_last_words(home, both):
    report, subject = both
    values, nats, greedy = ours(home, Lambada(data=str(home / "lambada.jsonl")), subject)
    found = responses(report, "lambada")
    np.testing.assert_allclose([[one[0] for one in doc] for doc in found], nats, rtol=1e-5)
    assert [[one[1] for one in doc] for doc in found] == greedy
    assert report["results"]["my_lambada"]["perplexity,none"] == pytest.approx(values["perplexity"], rel=1e-5)
    assert report["results"]["my_lambada"]["acc,none"] == values["acc"]


def test_multiple_choice_and_what_it_is_unconditionally(home, both):
    report, subject = both
    task = MultipleChoice(data=str(home / "multiple_choice.jsonl"), answer_context="")
    outcome = task.run(subject)
    for found, sample in zip(responses(report, "multiple_choice"), outcome.samples, strict=True):
        expected = [nats for nats, _ in sample["resps"]] + list(sample["unconditional"])
        np.testing.assert_allclose([one[0] for one in found], expected, rtol=1e-5)
    for theirs, name in (("acc", "acc"), ("acc_mutual_info", "acc_unconditional")):
        assert report["results"]["my_multiple_choice"][f"{theirs},none"] == outcome.values[name].value


def document_nats(task, subject) -> list[float]:
    sums = [0.0] * len(TEXTS)
    for sample in task.run(subject).samples:
        sums[sample["doc"]["document"]] += sample["resps"][0][0]
    return sums


def test_perplexity(home, both):
    report, subject = both
    task = Perplexity(data=str(home / "perplexity.txt"), length=LENGTH, documents="blank_line")
    found = [answers[0] for answers in responses(report, "perplexity")]
    np.testing.assert_allclose(found, document_nats(task, subject), rtol=1e-5)
    values, results = ours(home, task, subject)[0], report["results"]["my_perplexity"]
    bits = values[f"bits_per_byte_windows_{LENGTH}"]
    assert results["bits_per_byte,none"] == pytest.approx(bits, rel=1e-5)
    assert results["byte_perplexity,none"] == pytest.approx(2 ** bits, rel=1e-5)
    assert results["word_perplexity,none"] == pytest.approx(values[f"word_perplexity_windows_{LENGTH}"], rel=1e-5)
    other = document_nats(task.replace(length=LENGTH - 1), subject)
    assert not np.allclose(found[0], other[0], rtol=1e-4), "the protocol should show in the numbers"


def test_the_report_says_how_texts_were_scored(both):
    report, subject = both
    assert report["config"]["how"] == "log-likelihood, left to right"
    assert report["config"]["objective"] == subject.objective.name
    assert report["config"]["rolling"] == f"windows of {LENGTH} tokens, not overlapping"


def test_masked_models_are_asked_by_pseudo_likelihoods(home, caplog):
    run, found = opened(home, "masked"), {}
    subject = Subject.of(run)
    for pll, likelihood in (("original", "trained"), ("within_word", "within_words")):
        caplog.clear()
        report = asked(home, ArchZooLM(run, Arguments(pll=pll, length=LENGTH)), "blimp", "perplexity")
        _, nats, _ = ours(home, Blimp(data=str(home / "blimp.jsonl"), likelihood=likelihood), subject)
        found[pll] = [[one[0] for one in doc] for doc in responses(report, "blimp")]
        np.testing.assert_allclose(found[pll], nats, rtol=1e-5)
        assert {one[1] for doc in responses(report, "blimp") for one in doc} == {False}
        task = Perplexity(data=str(home / "perplexity.txt"), length=LENGTH, documents="blank_line", form=likelihood)
        rolling = [answers[0] for answers in responses(report, "perplexity")]
        np.testing.assert_allclose(rolling, document_nats(task, subject), rtol=1e-5)
        assert report["config"]["how"].startswith("pseudo-log-likelihood")
        assert sum("no greedy decoding" in record.message for record in caplog.records) == 1
    assert not np.allclose(found["original"][0], found["within_word"][0]), "the two forms should differ"


def request(kind, *arguments, doc_id=None):
    return Instance(kind, {}, arguments, 0, metadata=("by_hand", doc_id, 1))


@pytest.mark.parametrize("name", ["causal", "prefix"])
def test_what_is_written_is_what_the_writer_writes(home, name):
    run = opened(home, name)
    model, writer = ArchZooLM(run, Arguments(rows=4)), TextWriter(run, 4)
    mixed = [(prompt, way) for prompt in PROMPTS for way in WAYS]  # options alternate: they are put together
    found = model.generate_until([request("generate_until", *one) for one in mixed])
    greedy = writer.write(PROMPTS, 6, stops=["na"])
    drawn = writer.write(PROMPTS, 5, Sampling(temperature=0.9, top_k=20, top_p=0.9))
    assert found[0::2] == greedy and found[1::2] == drawn
    assert greedy != writer.write(PROMPTS, 6, Sampling(temperature=0.9))
    assert len(set(found)) > 2


def test_the_harness_itself_generates(home):
    run = opened(home, "causal")
    report = asked(home, ArchZooLM(run), "generation")
    assert responses(report, "generation") == [[text] for text in TextWriter(run).write(PROMPTS, 6, stops=["na"])]


def test_what_is_too_long_is_cut_on_the_left_and_counted(home, caplog):
    run = opened(home, "causal")
    limit = run.config.model.max_len
    assert run.config.model.position.needs_max_len
    context = "balin dena kimo " * limit
    model = ArchZooLM(run)
    with caplog.at_level(logging.WARNING):
        (nats, _), (short, _) = model.loglikelihood([
            request("loglikelihood", context, "mura", doc_id=0), request("loglikelihood", "balin", " mura", doc_id=1)])
    assert math.isfinite(nats) and nats != short
    assert model.get_model_info()["notes"]["truncated"] == 1
    assert len([one for one in caplog.records if "1 of 2 requests were too long for the model" in one.message]) == 1
    way = {"until": [], "max_gen_toks": 4}
    text, = model.generate_until([request("generate_until", context, way)])
    ids = run.tokenizer.encode(context)
    bos = 0 if run.tokenizer.vocabulary.bos_id is None else 1
    writer = TextWriter(run)
    assert text == writer.write_behind([ids[-(limit - 4 - bos):]], 4)[0]
    assert model.get_model_info()["notes"]["truncated"] == 2
    with pytest.raises(UserError, match=f"{limit} tokens to be written leave no room"):
        model.generate_until([request("generate_until", "ba", {"max_gen_toks": limit})])


def test_answers_are_kept_for_the_cache_of_the_harness(home, tmp_path):
    model, kept = ArchZooLM(opened(home, "causal")), []
    model.cache_hook.add_partial = lambda kind, arguments, answer: kept.append((kind, arguments, answer))
    one = request("loglikelihood", "balin", " dena")
    assert model.loglikelihood([one]) == [kept[0][2]] and kept[0][:2] == ("loglikelihood", one.args)


def test_what_a_run_cannot_do_is_one_line(home):
    masked, causal = opened(home, "masked"), opened(home, "causal")
    with pytest.raises(UserError, match="objective=masked_lm has no likelihood from left to right: .*pll=original"):
        ArchZooLM(masked)
    with pytest.raises(UserError, match="generate_until is undefined for objective=masked_lm"):
        ArchZooLM(masked, Arguments(pll="original")).generate_until([request("generate_until", "ba", WAYS[0])])
    with pytest.raises(UserError, match="has a likelihood from left to right and no pseudo-log-likelihood"):
        ArchZooLM(causal, Arguments(pll="original"))
    with pytest.raises(UserError, match="has no chat template; leave out --apply_chat_template"):
        asked(home, ArchZooLM(causal), "generation", apply_chat_template=True)
    with pytest.raises(UserError, match="by_hand: document 3: an empty continuation"):
        ArchZooLM(causal).loglikelihood([request("loglikelihood", "ba", "", doc_id=3)])


def test_the_command(home):
    """experiments.harness is lm_eval: its flags, its table, its files; what is wrong is one line."""
    def command(arguments, *more):
        return ("experiments.harness", ["--model", "arch_zoo", "--model_args", arguments, "--include_path",
                                        str(home / "tasks"), "--tasks", "my_blimp,my_perplexity", *more])

    run = f"workdir={home / 'run'}"
    works, wrong = many([command(f"{run},length=8", "--batch_size", "4", "--output_path", str(home / "out")),
                         command(f"{run},pll=original")],
                        ("lm_eval.evaluator", "arch_zoo.interop.lm_eval_harness",
                         "tests.interop.harness_tasks:only_included"))
    assert works["code"] == 0 and "|my_perplexity|" in works["out"], works["err"]
    assert list((home / "out").rglob("results_*.json"))
    said = wrong["err"].splitlines()[-1]  # the harness's own log stands before it
    assert said.startswith("harness: --model_args pll=original: objective=causal_lm has a likelihood"), wrong["err"]
    assert wrong["code"] == 1 and "Traceback" not in wrong["err"]
