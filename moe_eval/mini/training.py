"""Training data in the small world: `python -m moe_eval.mini.training FOLDER`.

Writes what the nano recipes read: labels of patches for the tower, text for the language model, captions (stage 1) and the
nine benchmarks' own questions with ideal answers (stages 2 and 3), in LLaVA's format, with pictures, and a tokenizer. All
scenes are of the split "train", which no test question is about.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.mini.captions import CAPTION_REQUEST, caption, region_captions, relation_captions
from moe_eval.mini.drills import option_drill, read_drill, repeat_drill
from moe_eval.mini.patches import patch_labels
from moe_eval.mini.stories import SAID, TOLD, description, story_questions
from moe_eval.mini.world import Scene, make_scenes
from moe_eval.registry import find_task, own_tasks
from moe_eval.task import Sample

__all__ = ["write_training_data"]

Item = dict[str, Any]

ROUNDS = 8
"""Questions per item: together they look at its picture once (`split_rounds` and `packing.share_prefix`)."""

REHEARSED = 3
"""Captions beside them, so that what stage 1 taught is not forgotten; and one drill. In stage 3 one caption: the loss is a
mean over tokens, in which captions outweigh letters."""

PAIRS = 2
"""Of things whose relation is told in two ways, in every item of stage 2: to compare where two things are takes that they are
found by their names, which stage 1 teaches; earlier, these rounds only hold it up."""

DRILLS = 2
"""Of options, beside the captions of a picture in stage 1."""

ITEMS_PER_SCENE = 2
"""And stage: a scene has more questions, but new scenes teach more."""

STORIES = {"language": 1.0, "captions": 0.1, "instructions": 0.75, "mix": 1.0}
"""Scenes that are told instead of shown, in each file, for one of `scenes`; the language model reads as many drills."""

READING = (*[option_drill] * 6, repeat_drill, read_drill)
"""The drills of an item for the language model. Short answers teach to find things sooner than long ones, in which the words
that are only repeated weigh most."""

HARD = {"letter": ("mmbench", "scienceqa"), "pair": ("mme", "pope")}
"""What takes longest to learn: to name the letter of an option, and two questions about one object, yes and no."""

EASY = {"vizwiz": 0.4, "textvqa": 0.4, "mmvet": 0.4}
"""Of these tasks only a share of the scenes: what they ask is learned first."""

PATCHES_PER_SIDE = 6
EASY_SHARE = 0.5
DONE = "data.json"
VERSION = 5
"""Counted up when the same scenes and seed give other files."""


def write_training_data(folder: Path, scenes: int, seed: int = 0) -> None:
    """Write all files, unless the folder holds the same ones already.

    Args:
        folder: gets `images/`, `patches.jsonl`, `language.json`, `captions.json`, `instructions.json`, `mix.json` and
            `tokenizer/`.
        scenes: pictures with questions; as many again, half of them easy, have patch labels and captions.
        seed: of the order and the choice of questions.
    """
    facts = {"scenes": scenes, "seed": seed, "version": VERSION}
    done = folder / DONE
    if done.is_file() and json.loads(done.read_text()) == facts:
        print(f"{folder}: training data is there already")
        return
    (folder / "images").mkdir(parents=True, exist_ok=True)
    generator = random.Random(seed)

    easy = make_scenes(int(scenes * EASY_SHARE), 1, "train", objects=(1, 2), signs=0.5)
    seen = easy + make_scenes(scenes - len(easy), 2, "train", flaws=0.04)
    names = {scene: f"look_{number:06d}.png" for number, scene in enumerate(seen)}
    _write_pictures(folder, names)
    _write_lines(
        folder / "patches.jsonl",
        (
            {"id": name, "image": name, "patches": patch_labels(scene, PATCHES_PER_SIDE)}
            for scene, name in names.items()
        ),
    )
    captions = [
        _item(name, name, [*_captions(scene, generator), *(option_drill(generator) for _ in range(DRILLS))])
        for scene, name in names.items()
    ]

    asked = _questions(scenes)
    names = {scene: f"ask_{number:06d}.png" for number, scene in enumerate(scene for scene in asked if scene)}
    _write_pictures(folder, names)
    instructions: list[Item] = []
    mix: list[Item] = []
    short: dict[str, Item] = {}
    for first, (scene, task_of) in enumerate(asked.items()):  # which stage gets the first part, by turns
        stages = (instructions, mix)[:: 1 - 2 * (first % 2)]
        rounds = list(task_of)
        generator.shuffle(rounds)
        if scene is None:  # without a picture
            for number, start in enumerate(range(0, len(rounds), ROUNDS)):
                stages[number % 2].append(_item(f"text_{number}", None, rounds[start : start + ROUNDS]))
            continue
        parts = [rounds[i : i + ROUNDS] for i in range(0, len(rounds), ROUNDS)][: 2 * ITEMS_PER_SCENE]
        parts += _hard_parts(task_of)
        for number, part in enumerate(parts):
            known = _captions(scene, generator)
            rehearsed = generator.sample(known, min(REHEARSED, len(known)))
            drill = option_drill(generator)
            pairs = relation_captions(scene, generator, PAIRS)
            name = f"{names[scene]}_{number}"
            stages[number % 2].append(_item(name, names[scene], [*rehearsed, drill, *pairs, *part]))
            short[name] = _item(name, names[scene], [rehearsed[0], drill, *part])
    drills = (_item(f"drill_{number}", None, [drill(generator) for drill in READING]) for number in range(scenes))
    files = {"language": list(drills), "captions": captions, "instructions": instructions, "mix": mix}
    told = iter(make_scenes(sum(_stories(name, scenes) for name in files), 3, "train", signs=0.5))
    for name, items in files.items():
        kinds = SAID if name == "language" else TOLD
        items += [_story(f"story_{name}_{i}", next(told), kinds, generator) for i in range(_stories(name, scenes))]
    _write_tokenizer(folder / "tokenizer", chain.from_iterable(files.values()))
    mix[:] = [short.get(item["id"], item) for item in mix] + _letter_items(asked, names, random.Random(seed))
    for name, items in files.items():
        generator.shuffle(items)
        _write_items(folder / f"{name}.json", items)
    write_atomically(done, json.dumps(facts) + "\n")


def _stories(file: str, scenes: int) -> int:
    return round(STORIES[file] * scenes)


def _story(name: str, scene: Scene, kinds: Sequence[str], generator: random.Random) -> Item:
    return _item(name, None, [description(scene, generator), *story_questions(scene, generator, ROUNDS - 1, kinds)])


def _captions(scene: Scene, generator: random.Random) -> list[tuple[str, str]]:
    return [(CAPTION_REQUEST, caption(scene)), *region_captions(scene, generator)]


def _hard_parts(task_of: Mapping[tuple[str, str], str]) -> list[list[tuple[str, str]]]:
    """Once more: what is learned last, of each scene at most `ROUNDS` questions of each kind (`HARD`)."""
    parts = [[pair for pair, task in task_of.items() if task in tasks][:ROUNDS] for tasks in HARD.values()]
    return [part for part in parts if part]


def _letter_items(
    asked: Mapping[Scene | None, Mapping[tuple[str, str], str]], names: Mapping[Scene, str], generator: random.Random
) -> list[Item]:
    """All questions for a letter once more for stage 3, each time with a caption of something and a drill."""
    items = []
    for scene, name in names.items():
        letters = [pair for pair, task in asked[scene].items() if task in HARD["letter"]]
        for first in range(0, len(letters), ROUNDS):
            rehearsed = [generator.choice(_captions(scene, generator)), option_drill(generator)]
            items.append(_item(f"{name}_letters{first}", name, [*rehearsed, *letters[first : first + ROUNDS]]))
    return items


def _questions(scenes: int) -> dict[Scene | None, dict[tuple[str, str], str]]:
    """By scene (None: without a picture), the task of every (prompt, ideal answer)."""
    asked: dict[Scene | None, dict[tuple[str, str], str]] = {}
    for name in own_tasks():
        task = find_task(name)
        prompt = task.protocol("llava").prompt
        for sample in task.sources["mini"](f"train:{max(1, round(scenes * EASY.get(name, 1)))}").samples:
            asked.setdefault(_scene(sample), {}).setdefault((prompt(sample), sample.meta["response"]), name)
    return asked


def _scene(sample: Sample) -> Scene | None:
    picture = sample.images[0] if sample.images else None
    assert picture is None or isinstance(picture, Scene)
    return picture


def _item(name: str, image: str | None, rounds: Sequence[tuple[str, str]]) -> Item:
    turns: list[Mapping[str, str]] = []
    for number, (question, answer) in enumerate(rounds):
        front = "<image>\n" if image and number == 0 else ""
        turns += [{"from": "human", "value": front + question}, {"from": "gpt", "value": answer}]
    return {"id": name, **({"image": image} if image else {}), "conversations": turns}


def _write_tokenizer(folder: Path, items: Iterable[Item]) -> None:
    from moellava.training.tokenizer import train_tokenizer

    # A question stands on the line after its picture, an answer follows a blank: "ASSISTANT: Yes".
    fronts = {"human": "\n", "gpt": " "}
    texts = (
        fronts[turn["from"]] + turn["value"].removeprefix("<image>\n")
        for item in items
        for turn in item["conversations"]
    )
    train_tokenizer(texts, vocab_size=1024, sentences=list(_sentences())).save_pretrained(folder)


def _sentences() -> Iterator[str]:
    """What stands around every question: of the chat template, and of the benchmarks' prompts."""
    from moe_eval.prompts import OPTION_LETTER, SHORT_ANSWER, UNANSWERABLE
    from moellava.chat_template import SYSTEM_PROMPT

    yield f"{SYSTEM_PROMPT} USER:"
    yield " ASSISTANT:"
    for sentence in (SHORT_ANSWER, OPTION_LETTER, UNANSWERABLE):
        yield f"\n{sentence}"
    yield from (f"\n{letter}." for letter in "ABCDE")


def _write_pictures(folder: Path, names: Mapping[Scene, str]) -> None:
    for scene, name in names.items():
        scene.open().save(folder / "images" / name, compress_level=1)


def _write_items(path: Path, items: Sequence[Item]) -> None:
    write_atomically(path, "[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]\n")


def _write_lines(path: Path, items: Iterable[Item]) -> None:
    write_atomically(path, "".join(json.dumps(item) + "\n" for item in items))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code, 2 after one line about what the user can put right."""
    parser = argparse.ArgumentParser(prog="python -m moe_eval.mini.training", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=7000, help="pictures with questions")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        if options.scenes < 1:
            raise UserError(f"--scenes {options.scenes}: at least one is needed")
        write_training_data(options.folder, options.scenes, options.seed)
    except UserError as error:
        print(f"moe_eval.mini.training: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
