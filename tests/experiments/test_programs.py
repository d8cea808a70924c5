"""What bad input gets: one line that says what is wrong and what would be right, an exit code, nothing half-written."""

import pytest

from tests.runs import TRAINING, VARIANTS, assert_one_line, many, tiny_flags, write_corpus

TRAIN, STUDY = "experiments.train", "experiments.study"


# --- the command line --------------------------------------------------------------------------------------------

# name: (program, arguments, parts of the message); "W" stands for a workdir, "D" for a directory of config files
FLAGS = {
    "unknown flag": (TRAIN, ["--workdir=W", "--workdri=x"], "Unknown command line flag 'workdri'. Did you mean: work"),
    "stray argument": (TRAIN, ["--workdir=W", "depth=3"], "unexpected argument 'depth=3'; options look like --name="),
    "no value": (TRAIN, ["--workdir=W", "--config.model.depth"], "--config.model.depth needs a value"),
    "no such config file": (TRAIN, ["--config=configs/bas.py"], "no such file. Did you mean 'configs/base.py'?\n"),
    "a folder as config": (TRAIN, ["--config=configs"], "--config=configs: no such file"),
    "not Python": (TRAIN, ["--config=D/notes.txt"], "D/notes.txt: not a Python file"),
    "syntax error": (TRAIN, ["--config=D/syntax.py"], "D/syntax.py:2: SyntaxError: "),
    "no get_config": (TRAIN, ["--config=D/empty.py"], "D/empty.py: it defines no get_config()"),
}
VALUES = {
    "unknown field": (TRAIN, ["--workdir=W", "--config.model.dept=3"], "model.dept: there is no field 'dept' here. Did "
                                                                       "you mean 'depth'?"),
    "unknown objective": (TRAIN, ["--workdir=W", "--config.objective=mask_lm"],
                          ("objective: unknown objective 'mask_lm'. Did you mean 'masked_lm'", "causal_lm, ")),
    "unknown architecture": (TRAIN, ["--workdir=W", "--config.model.architecture=encoder"],
                             ("unknown architecture 'encoder'. Did you mean 'encoder_", "Known: decoder_only, ")),
    "unknown position": (TRAIN, ["--workdir=W", "--config.model.position=rotery"],
                         ("unknown position scheme 'rotery'. Did you mean 'rotary'?", "Known: alibi, ")),
    "incompatible pair": (TRAIN, ["--workdir=W", "--config.objective=masked_lm"],
                          ("model.architecture=decoder_only cannot train objective=masked_lm: it fills in from both",
                           "use encoder_only")),
    "wrong type": (TRAIN, ["--workdir=W", "--config.model.depth=four"], "model.depth: expected int, got 'four'"),
    "out of range": (TRAIN, ["--workdir=W", "--config.model.depth=0"], "model.depth: 0 is out of range: at least 1"),
    "too long": (TRAIN, ["--workdir=W", "--config.data.length=600"],
                 ("model.max_len: 512 is shorter than the stream of 600 tokens", "or choose a position scheme")),
    "width and heads": (TRAIN, ["--workdir=W", "--config.model.width=130"],
                        "model.width: 130 is not divisible by 4 heads; nearest: 128, 132, or set head_dim"),
    "batch and accumulate": (TRAIN, ["--workdir=W", "--config.accumulate=5"],
                             "batch_size: 32 is not divisible by accumulate=5"),
    "no workdir": (TRAIN, [], "--workdir=DIR is required: the directory of the run"),
    "argument for none": (TRAIN, ["--config=configs/base.py:big"], "takes no argument, 'big' was given"),
    "argument needed": (TRAIN, ["--config=configs/scan.py"],
                        "it needs an argument behind a colon: --config=configs/scan.py:FOLDER"),
    "bad value in a file": (TRAIN, ["--config=D/value.py"], "D/value.py: depth: 0 is out of range"),
    "bad name in a file": (TRAIN, ["--config=D/name.py"], "D/name.py:2: TypeError: "),
    "an error in a file": (STUDY, ["--config=D/error.py", "--workdir=W"],
                           "D/error.py:2: ValueError: invalid literal for int() with base 10: 'two'"),
    "a key in a file": (TRAIN, ["--config=D/key.py"], "D/key.py:1: KeyError: 'depth'"),
    "a flag under two names": (STUDY, ["--config=configs/studies/families.py", "--seeds=1", "--config.seeds=2"],
                               "--seeds and --config.seeds set the same field; give one of them"),
    "an option of another engine": (STUDY, ["--config=configs/studies/families.py", "--workdir=W", "--cpus=2"],
                                    "--cpus needs --engine=slurm"),
    "a study to train": (TRAIN, ["--config=configs/studies/families.py"], "this program needs a RunConfig"),
    "a run to study": (STUDY, ["--config=configs/base.py"], "this program needs a StudyConfig"),
    "a study of nothing": (STUDY, ["--workdir=W"], "--config=FILE is required: a study with arms"),
    "a study without workdir": (STUDY, ["--config=configs/studies/families.py"], "--workdir=DIR is required"),
    "unknown match": (STUDY, ["--config=configs/studies/families.py", "--workdir=W", "--match=token"],
                      "match: expected one of: tokens, flops, params, steps, seconds, none, got 'token'. Did you mean"),
    "unknown metric": (STUDY, ["--config=configs/studies/families.py", "--workdir=W", "--config.metrics=bits"],
                       ("metrics: expected any of: bits_per_byte, ", "got 'bits'. Did you mean 'bits_per_byte'")),
    "undeclared difference": (STUDY, ["--config=D/study.py", "--workdir=W"],
                              ("arms differ in optimizer.learning_rate, which the study does not declare to vary",
                               "a: 0.002; b: 0.1", "add 'optimizer.learning_rate' to varies")),
}
CONFIG_FILES = {
    "notes.txt": "depth 4",
    "syntax.py": "def get_config():\n    return (",
    "empty.py": "",
    "value.py": "from arch_zoo.config import *\ndef get_config(): return RunConfig(model=ModelConfig(depth=0))",
    "error.py": "def number():\n    return int('two')\ndef get_config():\n    return number()",
    "key.py": "{}['depth']",
    "name.py": "from arch_zoo.config import *\ndef get_config(): return RunConfig(step=3)",
    "study.py": "from experiments.studies.config import *\ndef get_config():\n"
                "    return StudyConfig(arms=(Arm('a', {}), Arm('b', {'optimizer.learning_rate': 0.1})))",
}


def refusals(cases, directory, preload):
    """{name: how its command ended}; each has a workdir of its own."""
    for name, text in CONFIG_FILES.items():
        (directory / name).write_text(text)
    commands = [(program, [a.replace("=W", f"={directory}/{name.replace(' ', '_')}").replace("=D/", f"={directory}/")
                           for a in arguments]) for name, (program, arguments, _) in cases.items()]
    ended = many(commands, preload)
    made = {path.name for path in directory.iterdir() if path.is_dir()} - {"__pycache__"}  # of configs that are Python
    assert not made, f"a refused command left {made}"
    return {name: {**process, "err": process["err"].replace(f"{directory}/", "D/")}
            for name, process in zip(cases, ended, strict=True)}


@pytest.fixture(scope="module")
def refused_flags(tmp_path_factory):
    return refusals(FLAGS, tmp_path_factory.mktemp("flags"), preload=())


@pytest.fixture(scope="module")
def refused_values(tmp_path_factory):
    # Fields need the variants, and variants JAX: it is imported once, before the forks.
    return refusals(VALUES, tmp_path_factory.mktemp("values"), VARIANTS)


@pytest.mark.parametrize("case", FLAGS)
def test_a_bad_command_line_is_one_line_before_anything_slow_is_imported(refused_flags, case):
    ended = refused_flags[case]
    assert_one_line(ended, FLAGS[case][2])
    assert ended["out"] == ""
    assert not {"jax", "flax", "orbax", "sentencepiece"} & set(ended["imported"])


@pytest.mark.parametrize("case", VALUES)
def test_a_bad_value_is_one_line_before_anything_is_written(refused_values, case):
    ended = refused_values[case]
    assert_one_line(ended, VALUES[case][2])
    assert ended["out"] == ""
    assert not {"orbax", "tensorboardX", "tensorflow_datasets"} & set(ended["imported"])


def test_help_lists_flags_and_fields_without_importing_what_training_needs():
    programs = (TRAIN, STUDY, "experiments.report", "experiments.prepare", "experiments.cell", "experiments.zoo",
                "experiments.convert", "experiments.inspect", "experiments.objectives", "experiments.fine_tune",
                "experiments.compare", "experiments.sweep", "experiments.status", "experiments.reproduce")
    for program, ended in zip(programs, many([(program, ["--help"]) for program in programs], VARIANTS), strict=True):
        assert (ended["code"], ended["err"]) == (0, ""), program
        assert not {"orbax", "tensorboardX", "tensorflow_datasets"} & set(ended["imported"]), program
        assert "Flags:" in ended["out"]
        assert ("--config.model.depth=4" in ended["out"]) == \
            (program in (TRAIN, "experiments.inspect", "experiments.sweep")), program
        takes_study = program in (STUDY, "experiments.reproduce")
        assert ("--config.base.model.depth=4" in ended["out"]) == takes_study, program
        if takes_study or program == "experiments.sweep":
            for part in ("--workdir=", "--dry_run=", "--max_parallel=…\n        cells that run at",
                         "--partition=…\n        Slurm: partition"):
                assert part in ended["out"], (program, part)


# --- text and directories ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A directory with a good corpus and bad ones."""
    directory = tmp_path_factory.mktemp("corpora")
    good = write_corpus(directory / "good.txt").read_bytes()
    (directory / "empty.txt").write_bytes(b"")
    (directory / "folder").mkdir()
    (directory / "binary.txt").write_bytes(good[:3000] + b"\0" + good[3000:])
    (directory / "latin.txt").write_bytes("\n\n".join(f"déjà vu {n}" for n in range(500)).encode("latin-1"))
    (directory / "short.txt").write_bytes(good[:4000])
    (directory / "records.jsonl").write_text('{"text": "fine"}\n{"txt": "not so"}\n')
    return directory


CORPORA = {
    "missing": ({"data.corpus": "C/god.txt"}, ("C/god.txt: no such file or folder. Did you mean", "good.txt")),
    "empty": ({"data.corpus": "C/empty.txt"}, "C/empty.txt: empty"),
    "folder without text": ({"data.corpus": "C/folder"}, "C/folder: no text in this folder; files end in .txt"),
    "binary": ({"data.corpus": "C/binary.txt"}, "C/binary.txt: not text: there is a zero byte at offset 3000"),
    "undecodable": ({"data.corpus": "C/latin.txt"}, ("C/latin.txt: not UTF-8 at byte 1 ", "iconv")),
    "another field": ({"data.corpus": "C/records.jsonl"},
                      "C/records.jsonl:2: has no field 'text'. Did you mean 'txt'?"),
    "vocabulary too large": ({"data.tokenizer.vocab_size": 20_000},
                             "data.tokenizer.vocab_size=20000 is too large for C/good.txt; its text gives at most "),
    "vocabulary too small": ({"data.tokenizer.vocab_size": 300, "data.tokenizer.sentinels": 100},
                             "data.tokenizer.vocab_size=300 is too small for C/good.txt"),
    "fewer rows than ids": ({"model.vocab_size": 100}, "model.vocab_size=100 is smaller than the tokenizer's 340"),
    "too few documents": ({"data.corpus": "C/short.txt"}, ("C/short.txt: no document falls into the validation split",
                                                           "data.documents=line")),
    "no window": ({"data.length": 5000, "model.max_len": 5000}, ("do not fill one window of data.length=5000",
                                                                 "use more text or a shorter length")),
    "no tokenizer": ({"data.tokenizer.model": "C/good.txt"}, "C/good.txt: not a sentencepiece model, or a damaged one"),
    "no TFDS name": ({"data.corpus": "tfds:no_such"}, "tfds:no_such: TensorFlow Datasets has no such dataset."),
    "no tokens": ({"data.corpus": "tokens:C/tokens"}, "data.corpus=tokens:C/tokens: no such directory."),
    "batch and devices": ({"batch_size": 7}, "batch_size=7 is not divisible by 2 devices × accumulate=1; nearest: 6"),
    "devices": ({"devices": 3}, "devices=3, but there are 2 (cpu)"),
}


@pytest.fixture(scope="module")
def refused_runs(corpora, tmp_path_factory):
    """{name: (how its command ended, its workdir)}"""
    directory, commands = tmp_path_factory.mktemp("runs"), []
    for name, (changes, _) in CORPORA.items():
        changes = {path.replace(".", "__"): str(value).replace("C/", f"{corpora}/") for path, value in changes.items()}
        commands.append((TRAIN, tiny_flags(corpora / "good.txt", directory / name.replace(" ", "_"),
                                           **{"data__cache_dir": directory / "cache", **changes})))
    ended = many(commands, TRAINING, devices=2)
    assert not list(directory.glob("cache/**/.*")), "something half-written in the cache"
    return {name: ({**process, "err": process["err"].replace(f"{corpora}/", "C/")}, directory / name.replace(" ", "_"))
            for name, process in zip(CORPORA, ended, strict=True)}


@pytest.mark.parametrize("case", CORPORA)
def test_what_cannot_be_trained_on_is_one_line_and_leaves_the_directory_free(refused_runs, case):
    ended, workdir = refused_runs[case]
    assert_one_line(ended, CORPORA[case][1], code=1)
    assert ended["out"] == ""
    assert [path.name for path in workdir.iterdir()] in ([], [".lock"])
