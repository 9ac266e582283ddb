"""Ids and labels are those of the original preprocessing, and right where it would have lost the sample."""

import json
from pathlib import Path

import pytest

from moellava import MoELlavaProcessor
from moellava.convert import convert
from moellava.training.dataset import ConversationDataset
from moellava.training.errors import TrainingError
from moellava.training.files import DataFile
from moellava.training.labels import IGNORED, Encoder, images_first, split_rounds
from moellava.training.samples import Item, Turn
from tests.moellava.test_oracle import UPSTREAM_IMAGE_ID
from tests.tiny_models import END, tiny_processor

PATCHES = 4  # image tokens of a picture of the tiny models


def conversation(*turns: str, images: int = 0) -> Item:
    roles = ("human", "gpt")
    values = tuple(Turn(roles[n % 2], turn) for n, turn in enumerate(turns))
    return Item("a", values, tuple(Path(f"{n}.png") for n in range(images)))


def encoder(template: str | None = None, max_length: int = 2048) -> Encoder:
    return Encoder(tiny_processor(), template, max_length)


def learned(item: Item, **options) -> str:
    """The text that is learned, round after round."""
    encode = encoder(**options)
    encoded = encode(item)
    return encode.processor.tokenizer.decode(encoded.labels[encoded.labels != IGNORED])


# The original


def test_ids_and_labels_are_equal(oracle_case: Path, tmp_path: Path):
    stages = json.loads((oracle_case / "io.json").read_text()).get("stages", {})
    recorded = {name: stage["before"] for name, stage in stages.items() if "items" in stage.get("before", {})}
    if not recorded:
        pytest.skip("no training items were recorded for this case")
    processor = MoELlavaProcessor.from_pretrained(convert(oracle_case / "checkpoint", tmp_path / "model"))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    for name, before in recorded.items():
        plain = name == "stage1"
        file = oracle_case / ("captions.json" if plain else "conversations.json")
        dataset = ConversationDataset(
            [DataFile(file, oracle_case / "images")],
            processor,
            "plain" if plain else None,
            max_length=2048,
            images_first=config["codebase"] == "llava",
        )
        assert len(dataset) == len(before["items"])
        assert before.get("modality_lengths", dataset.lengths) == dataset.lengths
        for example, expected in zip(dataset, before["items"], strict=True):
            (encoded,) = example.conversations
            assert encoded.input_ids.tolist() == expand(expected["input_ids"], processor.image_token_id, config)
            if any(label != IGNORED for label in expected["labels"]):
                assert encoded.labels.tolist() == expand(expected["labels"], IGNORED, config, expected["input_ids"])
            else:  # the original lost it
                assert dataset.report.counts


def expand(values: list[int], image: int, config: dict, input_ids: list[int] | None = None) -> list[int]:
    """Recorded ids or labels with as many entries per picture as it has rows of features."""
    is_image = [token == UPSTREAM_IMAGE_ID for token in input_ids or values]
    pairs = zip(values, is_image, strict=True)
    return [n for value, here in pairs for n in ([image] * config["image_seq_length"] if here else [value])]


# What is learned


def test_answers_are_learned_from_their_leading_blank_through_the_end_marker():
    assert learned(conversation("Who?", "Me.", "Why?", "So.")) == f" Me.{END} So.{END}"


def test_a_caption_and_its_newline_are_learned_and_its_question_is_discarded():
    encoded = encoder("plain")(conversation("Describe. <image>", "A dog.", images=1))
    assert encoded.pictures.tolist() == [[0, PATCHES]]
    assert (encoded.labels[:PATCHES] == IGNORED).all()
    assert learned(conversation("Describe. <image>", "A dog.", images=1), template="plain") == "A dog.\n"


def test_a_picture_in_an_answer_is_not_learned():
    assert learned(conversation("Draw.", "Here: <image>!", images=1)) == f" Here: !{END}"


def test_every_picture_is_a_run_of_image_tokens():
    encoded = encoder()(conversation("<image>or<image>?", "Yes.", images=2))
    image_token = encoder().processor.image_token_id
    assert [encoded.input_ids[start:end].tolist() for start, end in encoded.pictures] == [[image_token] * PATCHES] * 2
    assert (encoded.input_ids == image_token).sum() == 2 * PATCHES


def test_ids_are_those_of_the_processor():
    item = conversation("Look: <image>", "Yes.", images=1)
    encode = encoder()
    assert encode(item).input_ids.tolist() == encode.processor.tokenize(encode.render(item)[0], PATCHES)


def test_a_picture_counts_as_one_when_the_row_is_cut():
    item = conversation("<image>Look.", "Yes.", images=1)
    whole = encoder()(item)
    cut = encoder(max_length=encoder().count(item) - 3)(item)
    assert cut.input_ids.tolist() == whole.input_ids[:-3].tolist()
    before_picture = encoder(max_length=10)(item)
    assert len(before_picture) == 10
    assert not len(before_picture.pictures)


# What the original would have lost


@pytest.mark.parametrize(
    "turns",
    [
        ("Say ASSISTANT: no.", "no"),
        ("Who?", f"Me {END} you"),
        ("Who?", "Me.", "Why?", ""),
    ],
)
def test_samples_that_the_original_blanks_are_known_and_kept(turns: tuple[str, ...]):
    item = conversation(*turns)
    assert encoder().original_blanks(item)
    assert learned(item)


def test_ordinary_samples_are_not_taken_for_blanked():
    assert not encoder().original_blanks(conversation("Who?", "Me: the ASSISTANT.", "Why?", "So."))


# One conversation per round


def test_rounds_about_one_picture_each_get_it():
    item = conversation("What?<image>", "A dog.", "Big?", "Yes.", images=1)
    assert [part.turns for part in split_rounds(item)] == [
        (Turn("human", "What?<image>"), Turn("gpt", "A dog.")),
        (Turn("human", "<image>\nBig?"), Turn("gpt", "Yes.")),
    ]
    assert all(part.images == item.images for part in split_rounds(item))


@pytest.mark.parametrize("first", ["What?", "<image>What?"])
def test_rounds_that_need_each_other_stay_together(first: str):
    images = 1 + first.count("<image>")
    item = conversation(first, "A dog.", "And <image>?", "A cat.", images=images)
    assert split_rounds(item) == (item,)
    chat = conversation("Hello", "Hi", "Again", "Hi")
    assert split_rounds(chat) == (chat,)


def test_rounds_of_a_text_are_split_where_that_is_said():
    chat = conversation("Hello", "Hi", "Again", "Hi")
    assert [[turn.value for turn in part.turns] for part in split_rounds(chat, text_too=True)] == [
        ["Hello", "Hi"],
        ["Again", "Hi"],
    ]
    later = conversation("What?", "A dog.", "And <image>?", "A cat.", images=1)
    assert split_rounds(later, text_too=True) == (later,)


def test_llava_moves_the_picture_to_the_front():
    item = images_first(conversation("Is there a dog?\n<image>", "No.", images=1))
    assert item.turns == (Turn("human", "<image>\nIs there a dog?"), Turn("gpt", "No."))


# Templates


def test_a_template_that_strips_turns_is_refused():
    processor = tiny_processor()
    processor.chat_template = processor.chat_template.replace("ns.text + ", "ns.text | trim + ")
    with pytest.raises(TrainingError, match="changes what a turn says"):
        Encoder(processor, None, 100)(conversation("Who?", "Me."))


def test_a_template_that_rewrites_earlier_turns_is_refused():
    processor = tiny_processor()
    processor.chat_template = "{{ messages | length }}" + processor.chat_template
    with pytest.raises(TrainingError, match="changes earlier turns"):
        Encoder(processor, None, 100)(conversation("Who?", "Me."))


def test_an_unknown_template_is_refused():
    with pytest.raises(TrainingError, match="'plane' is not known"):
        encoder("plane")
