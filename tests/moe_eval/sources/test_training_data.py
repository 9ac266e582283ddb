"""Training data from a task: worded as at evaluation, from other pictures than the test's."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from moe_eval.tasks.easyvqa import TASK
from PIL import Image

from moe_eval.engine.backend import Request
from moe_eval.engine.prompting import encode
from moe_eval.errors import UserError
from moe_eval.images import ImageFile
from moe_eval.sources.training_data import main, write_training_data
from moe_eval.task import Dataset, Sample
from moellava.training.dataset import ConversationDataset
from moellava.training.files import DataFile
from moellava.training.labels import IGNORED
from tests.tiny_models import picture, tiny_processor

PROTOCOL = TASK.protocols["llava"]


@pytest.fixture
def data(tmp_path) -> Dataset:
    """Two pictures; the questions about the first do not stand together."""
    pictures = []
    for number in range(2):
        picture(number).save(tmp_path / f"{number}.png")
        pictures.append(ImageFile(tmp_path / f"{number}.png"))
    rows = [("what shape is it?", "circle", 0), ("is it red?", "no", 1), ("what color is it?", "teal", 0)]
    samples = [Sample(str(n), text, (pictures[p],), gold, f"{p}.png") for n, (text, gold, p) in enumerate(rows)]
    return Dataset("rows", "3 questions", samples, official=False)


def items(folder: Path) -> list[dict]:
    return json.loads((folder / "train.json").read_text())


def test_a_picture_is_an_item_and_its_questions_are_rounds(data, tmp_path):
    assert write_training_data(data, PROTOCOL, tmp_path / "out")
    suffix = "\nAnswer the question using a single word or phrase."
    assert items(tmp_path / "out") == [
        {
            "id": "0.png",
            "image": "000000_0.png",
            "conversations": [
                {"from": "human", "value": f"<image>\nwhat shape is it?{suffix}"},
                {"from": "gpt", "value": "circle"},
                {"from": "human", "value": f"what color is it?{suffix}"},
                {"from": "gpt", "value": "teal"},
            ],
        },
        {
            "id": "1.png",
            "image": "000001_0.png",
            "conversations": [
                {"from": "human", "value": f"<image>\nis it red?{suffix}"},
                {"from": "gpt", "value": "no"},
            ],
        },
    ]
    assert Image.open(tmp_path / "out" / "images" / "000001_0.png").tobytes() == picture(1).tobytes()


def test_every_round_is_asked_to_the_token_as_at_evaluation(data, tmp_path):
    write_training_data(data, PROTOCOL, tmp_path / "out")
    processor = tiny_processor()
    file = DataFile(tmp_path / "out" / "train.json", tmp_path / "out" / "images")
    trained = ConversationDataset([file], processor, None, 2048, split_rounds=True)
    asked = {}
    for sample in data.samples:
        request = Request(sample.id, sample.images, PROTOCOL.prompt(sample), TASK.max_new_tokens)
        inputs = encode(processor, [(request, [image.open() for image in sample.images])])
        asked[tuple(inputs["input_ids"][0].tolist())] = (sample.gold, inputs["pixel_values"][0])
    seen = set()
    for example in trained:
        for conversation in example.conversations:
            first = int((conversation.labels != IGNORED).argmax())
            prompt = tuple(conversation.input_ids[:first].tolist())
            gold, pixels = asked[prompt]
            assert processor.decode(conversation.input_ids[first:]).strip() == f"{gold}</s>"
            assert example.pixel_values[0].equal(pixels)
            seen.add(prompt)
    assert seen == asked.keys()


def test_the_same_data_are_not_written_twice_and_others_replace_them(data, tmp_path):
    folder = tmp_path / "out"
    assert write_training_data(data, PROTOCOL, folder)
    assert not write_training_data(data, PROTOCOL, folder)
    fewer = replace(data, samples=data.samples[:1])
    assert write_training_data(fewer, PROTOCOL, folder)
    assert [item["id"] for item in items(folder)] == ["0.png"]
    assert [path.name for path in (folder / "images").iterdir()] == ["000000_0.png"]


def test_a_run_that_was_cut_off_is_done_again(data, tmp_path):
    folder = tmp_path / "out"
    broken = replace(data, samples=[*data.samples[:1], replace(data.samples[1], gold=None)])
    with pytest.raises(UserError):
        write_training_data(broken, PROTOCOL, folder)
    assert write_training_data(data, PROTOCOL, folder)
    assert len(items(folder)) == 2


@pytest.mark.parametrize("change", [{"gold": None}, {"gold": ("a", "b")}, {"images": ()}])
def test_a_sample_without_picture_or_answer_is_refused(data, tmp_path, change):
    samples = [replace(data.samples[0], **change)]
    with pytest.raises(UserError, match="sample 0: training data need a picture and a gold answer that is text"):
        write_training_data(replace(data, samples=samples), PROTOCOL, tmp_path / "out")


def test_what_published_numbers_are_about_is_not_for_training(data, tmp_path):
    with pytest.raises(UserError, match="3 questions are what published numbers are about: not for training"):
        write_training_data(replace(data, official=True), PROTOCOL, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_input_is_one_line(capsys, tmp_path):
    assert main(["easyvqua", "package:train", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(
        "moe_eval.sources.training_data: unknown task 'easyvqua': did you mean easyvqa"
    )


# --- easy-VQA ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def converted(tmp_path_factory) -> Path:
    pytest.importorskip("easy_vqa", reason="the data are the extra [easy-vqa]")
    folder = tmp_path_factory.mktemp("easyvqa")
    assert main(["easyvqa", "package:train", str(folder)]) == 0
    return folder


def pixels(image: Image.Image) -> str:
    """The same for the same picture, however it is called and encoded."""
    return hashlib.sha256(f"{image.size}".encode() + image.convert("RGB").tobytes()).hexdigest()


def test_all_questions_of_the_training_split_are_there(converted):
    found = items(converted)
    assert len(found) == 4_000
    assert sum(len(item["conversations"]) // 2 for item in found) == 38_575


@pytest.mark.slow
def test_no_picture_of_the_test_split_is_seen_in_training_so_no_question_is(converted):
    tested = {pixels(image.open()) for image in {sample.images[0] for sample in TASK.load("package").samples}}
    used = {item["image"] for item in items(converted)}
    assert used == {path.name for path in (converted / "images").iterdir()}
    trained = {pixels(Image.open(converted / "images" / name)) for name in used}
    assert len(tested) == 1_000
    assert len(trained) == 4_000
    assert not trained & tested
