"""The Python interface: evaluate, frames, compare."""

import subprocess
import sys
import typing

import pandas as pd
import pytest
from moe_eval.tasks.pope import TASK as POPE

import moe_eval
from moe_eval.errors import UserError
from moe_eval.runs.plan import default_source

LIMIT = 108  # six pictures


def guesses(images, text):
    assert images[0].mode == "RGB"
    return "Yes" if len(text) % 2 else "No"


def says_no(images, text):
    return "No"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    for function in (guesses, says_no):
        moe_eval.evaluate(function, tasks="pope", data="mini", limit=LIMIT, out=out)
    return out


def test_a_function_is_evaluated_and_told_in_frames(runs):
    summary = moe_eval.load_runs(runs).summary()
    assert list(summary["model"]) == ["guesses", "says_no"]
    row = summary[summary["model"] == "guesses"].iloc[0]
    assert row["n"] == LIMIT
    assert row["low"] <= row["score"] <= row["high"]
    samples = moe_eval.load_runs(runs / "guesses").samples()
    assert len(samples) == LIMIT
    assert set(samples["answer"]) == {"Yes", "No"}
    assert (samples["score"] == (samples["gold"] == samples["answer"].str.lower())).all()
    assert samples["prompt"].str.contains("single word or phrase").all()


def test_two_models_are_compared(runs):
    row = moe_eval.compare(runs / "says_no", runs / "guesses").iloc[0]
    assert row["difference"] == pytest.approx(row["second"] - row["first"])
    assert row["n"] == LIMIT


def test_a_table_and_a_report_come_out(runs, tmp_path):
    both = moe_eval.load_runs(runs)
    assert "guesses" in both.table(layout="pope", format="latex")
    assert "2 runs" in both.report(tmp_path / "r.html")


def test_an_exception_on_one_question_loses_nothing_else(tmp_path):
    def fragile(images, text):
        if "star" in text and not mended:
            raise ValueError("out of stars")
        return "Yes"

    mended = False
    with pytest.raises(UserError, match=r"questions were not answered, the first: \d+: ValueError: out of stars"):
        moe_eval.evaluate(fragile, tasks="pope", data="mini", limit=LIMIT, out=tmp_path)
    kept = len((tmp_path / "fragile" / "pope" / "responses.jsonl").read_text().splitlines())
    assert 0 < kept < LIMIT
    mended = True
    whole = moe_eval.evaluate(fragile, tasks="pope", data="mini", limit=LIMIT, out=tmp_path)
    assert whole.summary()["n"].item() == LIMIT


def test_a_server_answers_goes_away_and_comes_back(tmp_path, monkeypatch):
    from moe_eval.runs.records import RunRecord, read_record
    from tests.judge_server import Fault, JudgeServer

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("moe_eval.chat.endpoint.LONGEST_WAIT", 0.01)
    gone_after = 5
    with JudgeServer(lambda _, number: "Yes" if number < gone_after else Fault(503)) as server:
        settings = {"tasks": "pope", "data": "mini", "limit": LIMIT, "out": tmp_path, "name": "served"}
        settings["engine_args"] = f"cache={tmp_path / 'replies'},concurrency=2"
        with pytest.raises(UserError, match=r"status 503.*the same command goes on"):
            moe_eval.evaluate(f"openai:m@{server.url}", **settings)
        gone_after = 10**6
        runs = moe_eval.evaluate(f"openai:m@{server.url}", **settings)
    assert runs.summary()["n"].item() == LIMIT
    first, second = read_record(RunRecord, tmp_path / "served" / "pope" / "run.json").sessions
    assert first.told["calls"] == 5
    assert first.answered + second.answered == LIMIT
    assert runs.folders[0].joinpath("run.json").read_text().count('"backend": "openai"') == 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("moe-lava-nano", "unknown model 'moe-lava-nano': did you mean"),
        ("someone/model", "for the model of the hub say hf:someone/model"),
        (3, "a model's name or folder, .* is wanted, not a int"),
    ],
)
def test_a_wrong_model_is_one_line(tmp_path, model, message):
    with pytest.raises(UserError, match=message):
        moe_eval.evaluate(model, tasks="pope", data="mini", out=tmp_path)


def test_a_model_in_memory_answers_and_stays_in_training(tmp_path):
    from moe_eval.engine.models import ModelSource

    model, processor = ModelSource("moe-llava-nano").load()
    model.train()
    of_memory = moe_eval.evaluate((model, processor), tasks="pope", data="mini", limit=18, out=tmp_path, name="mine")
    of_folder = moe_eval.evaluate("moe-llava-nano", tasks="pope", limit=18, out=tmp_path)
    assert model.training
    assert '"backend": "prefix"' in of_memory.folders[0].joinpath("run.json").read_text()
    assert list(of_memory.samples()["answer"]) == list(of_folder.samples()["answer"])


def test_folders_without_runs_are_one_line(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        moe_eval.load_runs(tmp_path)
    assert moe_eval.Runs([]).summary().empty
    assert list(moe_eval.Runs([]).samples().columns)[:3] == ["model", "task", "id"]


def test_runs_leave_as_files_of_other_programs(runs, tmp_path):
    from moe_eval.commands.export import export_runs

    out = tmp_path / "samples.parquet"
    assert export_runs([runs], out, "samples") == f"{out}: {2 * LIMIT} rows of 2 runs"
    assert list(pd.read_parquet(out)["answer"]) == list(moe_eval.load_runs(runs).samples()["answer"])
    with pytest.raises(UserError, match="name a file that ends with"):
        export_runs([runs], tmp_path / "samples.xls", "samples")


def test_importing_the_package_imports_neither_torch_nor_pandas():
    code = "import sys, moe_eval; sys.exit(bool({'torch', 'pandas', 'numpy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_default_data_are_what_a_models_numbers_are_about(tmp_path, monkeypatch):
    monkeypatch.delenv("MOE_EVAL_DATA", raising=False)
    assert default_source(POPE, trained_on_mini=True) == "mini"
    assert default_source(POPE, trained_on_mini=False) == "hub"
    (tmp_path / "pope").mkdir()
    monkeypatch.setenv("MOE_EVAL_DATA", str(tmp_path))
    assert default_source(POPE, trained_on_mini=False) == f"llava:{tmp_path / 'pope'}"
    assert default_source(POPE, trained_on_mini=True) == "mini"


def test_a_trainer_evaluates_the_model_that_it_trains(tmp_path):
    from transformers import TrainerControl

    from moe_eval.callback import EvaluationCallback
    from moe_eval.engine.models import ModelSource

    class Trainer:  # what the callback uses of transformers' own
        logged: typing.ClassVar[list] = []

        def is_world_process_zero(self):
            return True

        def log(self, values):
            self.logged.append(values)

    class State:
        global_step = 2

    model, processor = ModelSource("moe-llava-nano").load()
    model.train()
    callback = EvaluationCallback(Trainer(), processor, "pope", every_steps=2, limit=LIMIT, out=tmp_path)
    callback.on_step_end(None, State(), TrainerControl(), model=model)
    callback.on_train_end(None, State(), None, model=model)  # the same step: not asked again
    assert [set(values) for values in Trainer.logged] == [{"eval_pope", "eval_pope_low", "eval_pope_high"}]
    assert (tmp_path / "step-2" / "model" / "pope" / "scores.json").is_file()
    assert model.training
    model(
        input_ids=processor(text="Hello", return_tensors="pt")["input_ids"]
    ).logits.sum().backward()  # still trainable


def test_options_of_loading_are_for_named_models(tmp_path):
    with pytest.raises(UserError, match="device: of a model that is given by name"):
        moe_eval.evaluate(lambda pictures, text: "Yes", "pope", data="mini", out=tmp_path, device="cpu")
    with pytest.raises(UserError, match="unknown option of evaluate 'devise'"):
        moe_eval.evaluate("llava-nano", "pope", out=tmp_path, devise="cpu")


def test_samples_are_a_dataset(tmp_path):
    runs = moe_eval.evaluate(
        lambda pictures, text: "Yes", "pope,vqav2", data="mini", limit=18, out=tmp_path, name="yes"
    )
    data = runs.dataset()
    assert data.num_rows == len(runs.samples())
    for name in ("gold", "prediction", "answer"):
        assert all(isinstance(value, str) for value in data[name])


def test_a_csv_holds_no_formulas(tmp_path):
    from moe_eval.commands.export import export_runs

    moe_eval.evaluate(lambda pictures, text: "=1+1", "pope", data="mini", limit=18, out=tmp_path / "runs", name="yes")
    export_runs([tmp_path / "runs"], tmp_path / "a.csv", "samples")
    assert set(pd.read_csv(tmp_path / "a.csv")["answer"]) == {"'=1+1"}
