"""The data set holds what can be trained on, in order, and reads it the same way in every process."""

import pickle

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from moellava.training.collate import Collator
from moellava.training.dataset import ConversationDataset
from moellava.training.errors import TrainingError
from moellava.training.samples import Problem
from tests.tiny_models import IMAGE_SIZE, tiny_processor
from tests.training_data import item, write_items

ITEMS = [
    item("dog", "<image>\nWhat is it?", "A dog.", "Is it big?", "Yes.", image="dog.png"),
    item("lost", "<image>\nWhat is it?", "Gone.", image="missing.png"),
    item("text", "Hello", "Hi there."),
    item("two", "<image> or <image>?", "Both.", image=["cat.png", "horse.png"]),
]


def dataset(*files, **options) -> ConversationDataset:
    return ConversationDataset(files, tiny_processor(), None, **{"max_length": 2048, **options})


def test_usable_items_of_all_files_come_in_order(tmp_path):
    data = dataset(write_items(tmp_path, ITEMS), write_items(tmp_path, [item("late", "A?", "B.")], "more.json"))
    ids = ["items.json: dog", "items.json: text", "items.json: two", "more.json: late"]
    assert [example.id for example in data] == ids
    assert data.report.counts == {Problem.MISSING_IMAGE: 1}
    assert data.report.items == 5


def test_lengths_are_words_and_negative_without_picture(tmp_path):
    assert dataset(write_items(tmp_path, ITEMS)).lengths == [10, -3, 4]


def test_an_example_has_all_pictures_of_its_item(tmp_path):
    dog, text, two = dataset(write_items(tmp_path, ITEMS))
    assert dog.pixel_values.shape == (1, 3, IMAGE_SIZE, IMAGE_SIZE)
    assert text.pixel_values is None
    assert two.pixel_values.shape == (2, 3, IMAGE_SIZE, IMAGE_SIZE)


@pytest.mark.parametrize("pad", [True, False])
def test_pictures_are_padded_or_cropped(tmp_path, pad):
    data = dataset(write_items(tmp_path, ITEMS), pad_images=pad)
    pictures = [Image.open(data.item(0).images[0])]
    expected = tiny_processor().image_processor(pictures, do_pad=pad, return_tensors="pt")["pixel_values"]
    assert torch.equal(data[0].pixel_values, expected)
    assert not torch.equal(data[0].pixel_values, dataset(data._files[0].file, pad_images=not pad)[0].pixel_values)


def test_rounds_become_conversations_of_one_example(tmp_path):
    dog = dataset(write_items(tmp_path, ITEMS), split_rounds=True)[0]
    assert len(dog.conversations) == 2
    assert all(len(part.pictures) == 1 for part in dog.conversations)


def test_long_items_are_cut_and_those_with_nothing_left_to_learn_are_left_out(tmp_path):
    file = write_items(
        tmp_path, [item("a", "Who?", "Me. " * 99), item("b", "Who? " * 99, "Me."), item("c", "Who?", "Me.")]
    )
    data = dataset(file, max_length=300)
    assert [len(example.conversations[0]) for example in data] == [300, len(data[1].conversations[0])]
    assert data.report.counts == {Problem.TOO_LONG: 2, Problem.NO_ANSWER: 1}


def test_what_the_original_loses_is_reported_and_kept(tmp_path):
    data = dataset(write_items(tmp_path, [item("a", "Say ASSISTANT: no.", "no")]))
    assert len(data) == 1
    assert data.report.counts == {Problem.BLANKED: 1}


def test_a_broken_picture_is_an_error_that_names_item_and_file(tmp_path):
    file = write_items(tmp_path, ITEMS)
    (tmp_path / "images" / "dog.png").write_bytes(b"no picture")
    with pytest.raises(TrainingError, match=r"items\.json: dog: .*dog\.png cannot be read"):
        dataset(file)[0]


def test_items_are_the_same_the_second_time_and_after_pickling(tmp_path):
    data = dataset(write_items(tmp_path, ITEMS), split_rounds=True)
    for again in (data, pickle.loads(pickle.dumps(data))):
        for first, second in zip(data, again, strict=True):
            assert first.id == second.id
            for one, other in zip(first.conversations, second.conversations, strict=True):
                assert one.labels.tolist() == other.labels.tolist()


@pytest.mark.slow
def test_worker_processes_give_the_same_batches(tmp_path):
    data = dataset(write_items(tmp_path, ITEMS))
    batches = [list(DataLoader(data, 2, collate_fn=Collator(0), num_workers=workers)) for workers in (0, 2)]
    for alone, worker in zip(*batches, strict=True):
        assert alone.keys() == worker.keys()
        assert all(torch.equal(alone[key], worker[key]) for key in alone if key != "ids")
