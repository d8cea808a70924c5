"""`--plan` as a program: it needs nothing but the config, writes nothing, and says what matters."""

import re

import pytest

from experiments.planning import size, vocabulary_of
from tests.runs import TRAINING, assert_one_line, many, tiny_flags
from tests.toy import tiny_config

TRAIN = "experiments.train"


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plans")
    flags = tiny_flags(folder / "no_such_corpus.txt", folder / "run")
    cases = {"plain": [], "no tokenizer": ["--config.data.tokenizer.model=nowhere.model"],
             "uneven": ["--config.devices=3"],
             "group": ["--config.vectorize=seeds,learning_rate", "--seeds=3", "--learning_rates=1e-3,3e-3"],
             "seeds alone": ["--seeds=3"], "processes": ["--processes=2", "--process=0", "--coordinator=localhost:1"],
             "no rate": ["--config.vectorize=learning_rate", "--learning_rates=x"]}
    found = dict(zip(cases, many([(TRAIN, [*flags, *more, "--plan"]) for more in cases.values()], TRAINING),
                     strict=True))
    found["eight devices"], = many([(TRAIN, [*flags, "--plan"])], TRAINING, devices=8)
    assert not list(folder.iterdir()), "a plan wrote something"
    return found


def test_a_plan_needs_no_text_and_says_what_the_run_needs(ended):
    out = ended["plain"]["out"]
    assert ended["plain"]["code"] == 0, ended["plain"]["err"]
    for part in ("causal_lm in decoder_only, a vocabulary of 340 to be made", "1 × cpu", "optimizer state, adamw",
                 "the largest batch_size that fits is", "model FLOPs of a step", "tokens/s, measured", "(MFU)"):
        assert part in out


def test_a_plan_of_simulated_devices_is_of_their_common_memory(ended):
    assert "8 × cpu, jit, mesh=data:8" in ended["eight devices"]["out"]
    assert "mesh" not in ended["plain"]["out"]
    assert "memory of all devices, which share it" in ended["eight devices"]["out"]


def test_a_plan_of_a_group_is_of_all_its_members(ended):
    assert ended["group"]["code"] == 0, ended["group"]["err"]
    assert "6 runs as one program: the batch_size is of each, all else is of the 6 together" in ended["group"]["out"]

    def count(name):
        return int(re.search(r"parameters, ([\d,]+)", ended[name]["out"])[1].replace(",", ""))

    assert count("group") == 6 * count("plain")


def test_what_cannot_be_planned_is_one_line(ended):
    assert_one_line(ended["seeds alone"], "--config.vectorize=seeds and --seeds belong together")
    assert_one_line(ended["no rate"], "optimizer.learning_rate")
    assert_one_line(ended["processes"], ("--plan is for one process", "leave out --coordinator, --processes, --process",
                                         "benchmarks.mesh_memory"))
    assert_one_line(ended["no tokenizer"], "nowhere.model: no such file")
    assert_one_line(ended["uneven"], "devices=3, but there are 1")


def test_a_vocabulary_of_the_configs_size():
    vocabulary, said = vocabulary_of(tiny_config())
    assert vocabulary.size == 300 and "300" in said


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB"),
                                             (5000 << 40, "5,000.0 TiB")])
def test_bytes_as_a_person_reads_them(count, text):
    assert size(count) == text
