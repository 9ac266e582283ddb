"""The ways in which the authors of Qwen-VL and TinyGPT-V ask and score, quirks included."""

import pytest
from moe_eval.tasks.gqa import TASK as GQA
from moe_eval.tasks.mmbench import TASK as MMBENCH
from moe_eval.tasks.scienceqa import TASK as SCIENCEQA
from moe_eval.tasks.textvqa import TASK as TEXTVQA
from moe_eval.tasks.vizwiz import TASK as VIZWIZ
from moe_eval.tasks.vqav2 import TASK as VQAV2

from moe_eval.images import NamedImage
from moe_eval.task import Sample


def sample(gold: object, question: str = "What is it?") -> Sample:
    return Sample("1", question, (NamedImage("a.jpg"),), gold, "a.jpg")


@pytest.mark.parametrize("task", [GQA, VIZWIZ, TEXTVQA, VQAV2])
def test_qwen_vl_is_asked_to_continue_a_text_with_ten_tokens(task):
    protocol = task.protocol("qwen-vl")
    assert (protocol.prompt(sample("dog")), protocol.max_new_tokens) == ("What is it? Answer:", 10)


@pytest.mark.parametrize(
    ("response", "understood"),
    [
        ("Dog.", "dog"),
        ("It is a dog, I think", "dog"),
        ("the side of the road", "side"),  # from "the " to the next, then before " of"
        ("pizza slice", "slice"),
        ("", ""),
    ],
)
def test_gqa_of_qwen_vl_cuts_lead_ins_anywhere(response: str, understood: str):
    score = GQA.protocol("qwen-vl").score(sample("dog"), response)
    assert (score["prediction"], score["correct"]) == (understood, int(understood == "dog"))


@pytest.mark.parametrize(
    ("response", "correct"), [("It is a Dog", 1), ("cat###Human: a dog?", 1), ("dogma", 1), ("cat", 0), ("", 0)]
)
def test_gqa_of_tinygpt_v_looks_for_the_label_anywhere(response: str, correct: int):
    assert GQA.protocol("tinygpt-v").score(sample("dog"), response)["correct"] == correct


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("red", 1.0),
        ("a red car", 1.0),
        ("blue", 1 / 3),
        ("Assistant: blue###red", 1 / 3),
        ("", 1.0),
        ("green", 0.0),
    ],
)
def test_vizwiz_of_tinygpt_v_counts_containment_both_ways(response: str, score: float):
    answers = ("Red",) * 3 + ("red car",) * 6 + ("dark blue",)
    assert VIZWIZ.protocol("tinygpt-v").score(sample(answers), response)["score"] == pytest.approx(score)


def test_tinygpt_v_asks_with_the_sentences_of_its_training():
    assert GQA.protocol("tinygpt-v").prompt(sample("dog")) == (
        "[vqa] Based on the image, respond to this question with a short answer: What is it?"
    )
    assert VIZWIZ.protocol("tinygpt-v").prompt(sample(None)) == (
        "[vqa] The question is 'What is it?' Based on the image, answer the question with a single word or phrase. "
        "and reply 'unanswerable' when the provided information is insufficient"
    )


def test_the_vqa_family_of_qwen_vl_is_scored_as_the_answer_stands():
    unanimous = ("T-shirt",) * 10
    for task in (VIZWIZ, TEXTVQA, VQAV2):
        score = task.protocol("qwen-vl").score
        assert (score(sample(unanimous), "T-shirt")["score"], score(sample(unanimous), "tshirt")["score"]) == (1, 0)
        assert "score" not in score(sample(None), "T-shirt")


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (SCIENCEQA, {"choices": ("ice", "fog"), "hint": ""}),
        (MMBENCH, {"options": {"A": "ice", "B": "fog", "C": "nan"}, "hint": "nan"}),
    ],
)
def test_qwen_vl_chooses_the_likeliest_letter_after_the_options(task, options):
    protocol, asked = task.protocol("qwen-vl"), Sample("1", "What is it?", (), "B", "a.jpg", meta=options)
    assert protocol.prompt(asked) == "Context: N/A\nQuestion: What is it?\nOptions: A. ice\nB. fog\nAnswer:"
    assert protocol.continuations(asked) == ("A", "B")
    hinted = Sample("1", "What is it?", (), "B", "a.jpg", meta={**options, "hint": "It is cold."})
    assert protocol.prompt(hinted).startswith("Context: It is cold.\nQuestion: What is it?\n")
