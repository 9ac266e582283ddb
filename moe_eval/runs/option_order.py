"""Questions with their lettered options in another order (`--ablate options=shuffled`): whether a score hangs on where options stand."""

import random
from collections.abc import Mapping, Sequence
from math import factorial

from moe_eval.task import Options, Sample

__all__ = ["in_another_order"]


def in_another_order(options: Options, samples: Sequence[Sample]) -> list[Sample]:
    """Each question with its options in an order in which it is not asked anyway, drawn with the question's id as the seed.

    Questions that are asked in several orders, such as MMBench's with their rotations, are so again: in all of them every
    text takes the place of one and the same other text. A question keeps its order where there is no further one (two options
    with both rotations), and where two of its options are alike.
    """
    texts = [tuple(options.of(sample).values()) for sample in samples]
    # What rows that ask the same in several orders have in common.
    questions = [(sample.group, sample.question, frozenset(some)) for sample, some in zip(samples, texts, strict=True)]
    seeds: dict[object, str] = {}
    asked: dict[object, list[tuple[str, ...]]] = {}
    for sample, question, some in zip(samples, questions, texts, strict=True):
        seeds.setdefault(question, sample.id)
        asked.setdefault(question, []).append(some)
    others = {question: _other_texts(seed, asked[question]) for question, seed in seeds.items()}
    return [_moved(options, sample, others[question]) for sample, question in zip(samples, questions, strict=True)]


def _other_texts(seed: str, asked: Sequence[tuple[str, ...]]) -> Mapping[str, str]:
    """Which text stands where each stood."""
    texts = asked[0]
    if len(set(texts)) < len(texts) or factorial(len(texts)) <= len(set(asked)):
        return {text: text for text in texts}
    generator, order = random.Random(seed), list(texts)
    while tuple(order) in asked:
        generator.shuffle(order)
    return dict(zip(texts, order, strict=True))


def _moved(options: Options, sample: Sample, other: Mapping[str, str]) -> Sample:
    before = options.of(sample)
    after = {letter: other[text] for letter, text in before.items()}
    if after == before:  # of two that are alike, the right one stays the right one
        return sample
    right = before.get(sample.gold)
    gold = next((letter for letter, text in after.items() if text == right), sample.gold)
    return options.put(sample, after, gold)
