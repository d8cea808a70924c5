"""experiments.translate: a file line by line, by beams or greedily, scored by sacrebleu; mistakes are one line."""

import pytest
import sacrebleu

from tests.data.test_parallel_text import make_pairs, write_two
from tests.runs import ASKING, assert_one_line, many, trained, untrained, write_corpus

TRANSLATE, GENERATE = "experiments.translate", "experiments.generate"
SHORT = {"steps": 8, "checkpoint_every": 8, "evaluate_every": 8}

WORKING = {
    "beams": ("pairs", ["--input=D/in.txt", "--beam=3", "--length_penalty=0.6", "--max_tokens=12",
                        "--output=D/beams.txt", "--reference=D/reference.txt"]),
    "greedy": ("pairs", ["--input=D/in.txt", "--beam=1", "--max_tokens=12"]),
}
REFUSED = {
    "no workdir": (None, ["--input=D/in.txt"], "--workdir=DIR is required"),
    "no run": ("nothing", ["--input=D/in.txt"], "not the directory of a run"),
    "no input": ("pairs", [], "--input=FILE is required: the sources, one a line"),
    "no file": ("pairs", ["--input=D/no.txt"], "--input=D/no.txt: no such file"),
    "empty": ("pairs", ["--input=D/empty.txt"], "--input=D/empty.txt: empty"),
    "not text": ("pairs", ["--input=D/binary.txt"], "D/binary.txt: not text: there is a zero byte"),
    "another length": ("pairs", ["--input=D/in.txt", "--reference=D/short.txt"],
                       ("--reference=D/short.txt has 2 lines, --input=D/in.txt 4", "they must correspond")),
    "no reference": ("pairs", ["--input=D/in.txt", "--reference=D/no.txt"], "--reference=D/no.txt: no such file"),
    "no pairs": ("gpt", ["--input=D/in.txt"], ("objective=causal_lm is not trained on pairs of texts",
                                               "--objective=translation")),
    "not this objective": ("pairs", ["--input=D/in.txt", "--objective=causal_lm"],
                           "encoder_decoder cannot train objective=causal_lm"),
    "no beam": ("pairs", ["--input=D/in.txt", "--beam=0"], "search.beam: 0 is out of range: at least 1"),
    "unknown option": ("pairs", ["--input=D/in.txt", "--config.search.beams=2"], "Did you mean 'beam'"),
    "unknown flag": ("pairs", ["--inptu=D/in.txt"], "Unknown command line flag 'inptu'. Did you mean: input"),
    "unknown normaliser": ("pairs", ["--input=D/in.txt", "--normalise=lenght"], "Did you mean 'length'"),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """{name: how its command ended}, with the directory as "home"."""
    home = tmp_path_factory.mktemp("runs")
    pairs = make_pairs(300)
    corpus = write_two(home / "corpus", "train", pairs)
    for name, count, side in (("in.txt", 4, 0), ("reference.txt", 4, 1), ("short.txt", 2, 1)):
        (home / name).write_text("".join(pair[side] + "\n" for pair in pairs[:count]))
    (home / "empty.txt").write_text("\n")
    (home / "binary.txt").write_bytes(b"a\0b\n")
    trained(corpus, home / "pairs", **SHORT, data__length=64, model__architecture="encoder_decoder",
            objective="translation")
    untrained(write_corpus(home / "corpus.txt"), home / "gpt")

    def command(run, arguments, program=TRANSLATE):
        return program, [*([] if run is None else [f"--workdir={home / run}"]),
                         *(argument.replace("D/", f"{home}/") for argument in arguments)]

    cases = {name: command(*case[:2]) for name, case in (WORKING | REFUSED).items()}
    cases["generate"] = command("pairs", [f"--prompt={pairs[0][0]}", "--max_tokens=12"], GENERATE)
    found = dict(zip(cases, many(list(cases.values()), (*ASKING, "sacrebleu")), strict=True))
    return {"home": home} | {name: {**one, "err": one["err"].replace(f"{home}/", "D/")} for name, one in found.items()}


def test_a_translation_for_each_line_and_scores_of_sacrebleu(ended):
    one = ended["beams"]
    assert one["code"] == 0, one["err"]
    written = (ended["home"] / "beams.txt").read_text().split("\n")[:-1]
    references = (ended["home"] / "reference.txt").read_text().splitlines()
    assert len(written) == 4
    bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
    scores = [(metric.corpus_score(written, [references]).score, metric.get_signature()) for metric in (bleu, chrf)]
    assert one["out"].splitlines() == [f"BLEU {scores[0][0]:.2f}  {scores[0][1]}",
                                       f"chrF {scores[1][0]:.2f}  {scores[1][1]}", "exact match 0.00% of 4"]
    assert one["err"].startswith("4 lines in ") and one["err"].endswith(" → D/beams.txt\n")


def test_without_output_the_lines_go_to_the_terminal_and_one_beam_is_greedy(ended):
    one = ended["greedy"]
    assert one["code"] == 0, one["err"]
    written = one["out"].split("\n")[:-1]
    assert len(written) == 4
    assert " ".join(ended["generate"]["out"].split()) == written[0]


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_one_line(ended, case):
    assert_one_line(ended[case], REFUSED[case][2])
    assert ended[case]["out"] == ""
