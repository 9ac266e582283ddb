"""A tokenizer from nothing: whole texts come back, fixed sentences are one token, the same texts give the same file."""

from hypothesis import given
from hypothesis import strategies as st

from moellava.training.tokenizer import train_tokenizer

SENTENCE = "Answer the question using a single word or phrase."
TEXTS = ["Is there a red star in the image?\n" + SENTENCE, " yes", " no", "How many stars are there? 12"] * 3
TOKENIZER = train_tokenizer(TEXTS, vocab_size=320, sentences=[SENTENCE, "ASSISTANT:"])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_every_text_comes_back(text):
    if not {"<", "A"} & set(text):  # special tokens and fixed sentences aside
        ids = TOKENIZER(text)["input_ids"]
        assert TOKENIZER.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text


def test_it_begins_with_bos_and_keeps_fixed_sentences_whole():
    tokens = TOKENIZER.convert_ids_to_tokens(TOKENIZER(f"star\n{SENTENCE} ASSISTANT: yes</s>")["input_ids"])
    assert tokens[0] == "<s>"
    assert tokens[-1] == "</s>"
    assert SENTENCE in tokens
    assert tokens[tokens.index("ASSISTANT:") + 1 :] == ["Ġyes", "</s>"]


def test_digits_are_tokens_of_their_own():
    assert TOKENIZER.tokenize("12")[-2:] == ["1", "2"]


def test_the_order_of_the_texts_does_not_matter(tmp_path):
    for name, texts in (("one", TEXTS), ("other", TEXTS[::-1])):
        train_tokenizer(texts, 320, [SENTENCE]).save_pretrained(tmp_path / name)
    assert (tmp_path / "one" / "tokenizer.json").read_bytes() == (tmp_path / "other" / "tokenizer.json").read_bytes()
