"""`moe-eval import`: other programs' answers become runs, and what is wrong with them is one line."""

import gzip
import json
import re
from pathlib import Path

import pytest

from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from tests.moe_eval.test_cli import call
from tests.tables import write_tsv

RELEASED = Path(__file__).parents[2] / "data" / "llava15_13b"
QUESTIONS = {"question": ["What is it?", "How many?", "IS it on?", "Who?"], "answer": ["cat", "two", "yes", "bob"]}
SUFFIX = "\nAnswer the question using a single word or phrase."


def write(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def llava(question_id: int, text: str, **more: str) -> dict:
    """A line as LLaVA's `model_vqa_loader.py` writes it."""
    prompt = QUESTIONS["question"][question_id % 4] + SUFFIX
    line = {"question_id": question_id, "prompt": prompt, "text": text, "answer_id": "x", "model_id": "llava-v1.5-13b"}
    return {**line, "metadata": {}, **more}


def lmms_eval(doc_id: int, response: object, **more: object) -> dict:
    """A line as lmms-eval 0.7.3 writes it with `--log_samples`."""
    line = {"doc_id": doc_id, "target": "x", "filtered_resps": response, "token_counts": [None], "doc_hash": "x"}
    return {**line, "exact_match": 1.0, "input": QUESTIONS["question"][doc_id % 4] + SUFFIX, **more}


@pytest.fixture
def gqa(tmp_path):
    """Options that import answers to four questions of GQA."""
    data = write_tsv(tmp_path / "GQA.tsv", QUESTIONS)
    return ["--model", "theirs", "--data", f"tsv:{data}", "--out", tmp_path / "runs"]


def test_released_answers_become_a_run_that_is_scored_and_tabulated(capsys, tmp_path):
    released = RELEASED / "pope.jsonl.gz"
    code, out, _ = call(capsys, "import", "pope", released, "--model", "llava-1.5-13b", "--out", tmp_path)
    assert code == 0
    assert "pope: mean F1 (%) 85.95" in out
    folder = tmp_path / "llava-1.5-13b" / "pope"
    run = read_record(RunRecord, folder / "run.json")
    assert (run.origin.format, run.origin.files[0].answers) == ("llava", 8_910)
    assert run.origin.files[0].path == str(released)
    assert read_record(ScoresRecord, folder / "scores.json").headline.value == pytest.approx(85.94688, abs=1e-5)
    assert "mean F1 (%) 85.95" in call(capsys, "score", "pope", folder)[1]
    table = call(capsys, "table", tmp_path, "--published", "own", "--format", "md")[1]
    assert re.search(
        r"\| llava-1.5-13b +\| Vicuna-13B-v1.5 \| +13B \|.*\b85\.9\b.*\| measured, imported answers", table
    )
    assert "llava-1.5-13b: answers imported (llava, pope.jsonl.gz), scored here" in table


def test_answers_with_their_gold_say_what_was_asked(capsys, tmp_path):
    released = RELEASED / "mmbench_dev_20230712.jsonl.gz"
    _, out, _ = call(capsys, "import", "mmbench", released, "--model", "theirs", "--llm", "Vicuna", "--out", tmp_path)
    assert "circular accuracy (%) 67.69" in out
    assert read_record(RunRecord, tmp_path / "theirs" / "mmbench" / "run.json").model.llm == "Vicuna"


def test_prompt_and_model_of_the_file_are_recorded(capsys, tmp_path, gqa):
    path = write(tmp_path / "a.jsonl", [llava(n, text) for n, text in enumerate(QUESTIONS["answer"])])
    assert "accuracy (%) 100.00" in call(capsys, "import", "gqa", path, *gqa)[1]
    run = read_record(RunRecord, tmp_path / "runs" / "theirs" / "gqa" / "run.json")
    assert run.origin.model == "llava-v1.5-13b"
    assert run.prompt.example == "What is it?" + SUFFIX
    assert run.generation is None


@pytest.mark.parametrize("merged", [False, True])
def test_chunks_are_put_together(capsys, tmp_path, gqa, merged):
    rows = [llava(n, text) for n, text in enumerate(QUESTIONS["answer"])]
    for index in range(2):
        write(tmp_path / "chunks" / f"2_{index}.jsonl", rows[index::2])
    if merged:
        write(tmp_path / "chunks" / "merge.jsonl", rows)
    assert "accuracy (%) 100.00" in call(capsys, "import", "gqa", tmp_path / "chunks", *gqa)[1]


def test_several_files_are_put_together(capsys, tmp_path, gqa):
    rows = [llava(n, text) for n, text in enumerate(QUESTIONS["answer"])]
    paths = [write(tmp_path / f"part{n}.jsonl", rows[n::2]) for n in range(2)]
    assert "4 of 4 questions" in call(capsys, "import", "gqa", *paths, *gqa)[1]
    run = read_record(RunRecord, tmp_path / "runs" / "theirs" / "gqa" / "run.json")
    assert [file.answers for file in run.origin.files] == [2, 2]


def test_logs_of_lmms_eval_are_joined_by_row_and_scored_its_way(capsys, tmp_path, gqa):
    rows = [lmms_eval(3, "Bob"), lmms_eval(0, "Cat"), lmms_eval(1, ["2"]), lmms_eval(2, "yes", resps=["Yes."])]
    path = write(tmp_path / "20260101_000000_samples_gqa.jsonl", rows)
    _, out, _ = call(capsys, "import", "gqa", path, *gqa)
    assert "exact match (%) 75.00\n4 of 4 questions, protocol lmms-eval" in out
    responses = (tmp_path / "runs" / "theirs" / "gqa" / "responses.jsonl").read_text()
    assert '{"id": "2", "response": "Yes."}' in responses  # what the model said, before lmms-eval's filters
    assert "exact match (%) 75.00" in call(capsys, "score", "gqa", path, *gqa[2:4], "--protocol", "lmms-eval")[1]


def test_a_log_that_lmms_eval_writes_is_read(capsys, tmp_path, gqa):
    tracker = pytest.importorskip("lmms_eval.loggers.evaluation_tracker", reason="lmms-eval is the extra [lmms]")
    log = tracker.EvaluationTracker(output_path=str(tmp_path))
    log.general_config_tracker.model_name_sanitized, log.date_id = "theirs", "20260101_000000"
    samples = [
        {
            **{"doc_id": n, "doc": {}, "target": answer, "doc_hash": "x", "exact_match": 1.0, "token_counts": [None]},
            **{"arguments": [question + SUFFIX, {"max_new_tokens": 16}, n, "gqa", "testdev"]},
            **{"resps": [[answer]], "filtered_resps": [answer]},
        }
        for n, (question, answer) in enumerate(zip(*QUESTIONS.values(), strict=True))
    ]
    log.save_results_samples("gqa", samples)
    path = tmp_path / "theirs" / "20260101_000000_samples_gqa.jsonl"
    assert "exact match (%) 100.00" in call(capsys, "import", "gqa", path, *gqa)[1]


def test_mme_is_recognised_without_its_request_for_yes_or_no(capsys, tmp_path):
    question = "Is it a cat? Please answer yes or no."
    columns = {
        "image_path": ["OCR/1.jpg"] * 2,
        "question": [question, question.replace("cat", "dog")],
        "answer": ["Yes", "No"],
        "category": ["OCR"] * 2,
    }
    data = write_tsv(tmp_path / "MME.tsv", columns)
    asked = [f"{text.removesuffix(' Please answer yes or no.')} Answer:" for text in columns["question"]]
    path = write(tmp_path / "a.jsonl", [lmms_eval(n, "Yes", input=text) for n, text in enumerate(asked)])
    options = ["--model", "theirs", "--data", f"tsv:{data}", "--out", tmp_path / "runs"]
    assert call(capsys, "import", "mme", path, *options)[0] == 0


GOOD = [llava(n, text) for n, text in enumerate(QUESTIONS["answer"])]
LOGGED = [lmms_eval(n, text) for n, text in enumerate(QUESTIONS["answer"])]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"a\.jsonl answers 0 of 4 questions"),
        (GOOD[:3], r"a\.jsonl answers 3 of 4 questions .*the first is id 3\. .*--allow-missing"),
        ([*GOOD, GOOD[1]], r"a\.jsonl line 5: id 1 was answered in line 2 already; remove one"),
        ([*GOOD, llava(9, "x")], r"a\.jsonl line 5: id 9 is not in the data \(4 ids, tsv:"),
        ([{"question_id": 1}], r"a\.jsonl line 1: neither an answer of ours .* nor of LLaVA's .* nor of lmms-eval's"),
        ([llava(0, "x") | {"text": 3}], r"a\.jsonl line 1: the answer is a int, not a string"),
        ([*GOOD[:3], LOGGED[3]], r"a\.jsonl line 1 is written as llava does and .* line 4 as lmms-eval does"),
        ([*GOOD[:3], GOOD[3] | {"model_id": "b"}], r"line 1 is of model llava-v1.5-13b and .* line 4 of b; one run is"),
        ([*LOGGED, lmms_eval(4, "x")], r"a\.jsonl line 5: doc_id 4 is not in the data \(4 rows, tsv:"),
        ([*LOGGED, LOGGED[2]], r"a\.jsonl line 5: id 2 was answered in line 3 already"),
        (
            [LOGGED[1] | {"doc_id": 0}],
            r"line 1: asks 'How many\?\\nAns.*', but row 0 of tsv:.* is 'What is it\?'; name",
        ),
        ([lmms_eval(0, ["a", "b"])], r"a\.jsonl line 1: 2 answers to one question; one is wanted"),
        ([{"doc_id": 0, "filtered_resps": "x"}], r"a\.jsonl line 1: neither .*KeyError\('input'\)"),
        ([lmms_eval(0, "x") | {"doc_id": "first"}], r"a\.jsonl line 1: neither .*ValueError"),
    ],
)
def test_what_is_wrong_is_one_line(capsys, tmp_path, gqa, rows, message):
    path = write(tmp_path / "a.jsonl", rows)
    code, _, err = call(capsys, "import", "gqa", path, *gqa)
    assert code == 2
    assert re.fullmatch(r"moe-eval: [^\n]+\n", err)
    assert re.search(message, err)
    assert not (tmp_path / "runs").exists()


def test_a_broken_line_is_named(capsys, tmp_path, gqa):
    path = write(tmp_path / "a.jsonl", GOOD)
    path.write_text(path.read_text()[:-20])
    assert "a.jsonl line 4: not valid JSON" in call(capsys, "import", "gqa", path, *gqa)[2]
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"x" * 100)[:-10])
    assert "a.jsonl.gz: cut off after line" in call(capsys, "import", "gqa", path, *gqa)[2]


def test_an_answer_in_two_files_is_named_with_both(capsys, tmp_path, gqa):
    for name in ("a", "b"):
        write(tmp_path / "models" / f"{name}.jsonl", GOOD)
    _, _, err = call(capsys, "import", "gqa", tmp_path / "models", *gqa)
    assert re.search(r"b\.jsonl line 1: id 0 was answered in \S+a\.jsonl line 1 already", err)


def test_a_missing_chunk_is_named(capsys, tmp_path, gqa):
    write(tmp_path / "chunks" / "3_1.jsonl", GOOD)
    assert "2 of 3 chunks are missing, such as 3_0.jsonl" in call(capsys, "import", "gqa", tmp_path / "chunks", *gqa)[2]


def test_an_empty_folder_is_named(capsys, tmp_path, gqa):
    (tmp_path / "nothing").mkdir()
    assert "nothing: no answers in it" in call(capsys, "import", "gqa", tmp_path / "nothing", *gqa)[2]


def test_missing_answers_may_be_left_out(capsys, tmp_path, gqa):
    path = write(tmp_path / "a.jsonl", GOOD[:3])
    assert "3 of 4 questions" in call(capsys, "import", "gqa", path, *gqa, "--allow-missing")[1]


def test_a_run_is_not_overwritten_unless_told(capsys, tmp_path, gqa):
    path = write(tmp_path / "a.jsonl", GOOD)
    call(capsys, "import", "gqa", path, *gqa)
    assert "holds a run already" in call(capsys, "import", "gqa", path, *gqa)[2]
    assert call(capsys, "import", "gqa", path, *gqa, "--fresh")[0] == 0


def test_a_run_does_not_go_on_from_imported_answers(capsys, tmp_path):
    options = ["--out", tmp_path, "--model", "moe-llava-tiny"]
    call(capsys, "import", "pope", RELEASED / "pope.jsonl.gz", *options)
    _, _, err = call(capsys, "run", "moe-llava-tiny", "--tasks", "pope", "--limit", 1, *options[:2])
    assert "holds imported answers, and a run cannot go on from them" in err
