"""A scene in words: what captions for training say, and the ideal answer to "Describe the picture."."""

import random

from moe_eval.mini.content import SceneObject
from moe_eval.mini.questions import (
    BEHIND,
    OPPOSITE,
    PLACE_PHRASES,
    absent_labels,
    column_of,
    related,
    relations,
    row_of,
    with_article,
)
from moe_eval.mini.world import COLOURS, SHAPES, WORDS, Scene

__all__ = ["CAPTION_REQUEST", "caption", "in_reading_order", "region_captions", "relation_captions"]

CAPTION_REQUEST = "Describe the picture."
TOWARDS = {"left": "to the left", "right": "to the right", "above": "above", "below": "below"}


def caption(scene: Scene) -> str:
    """All that can be seen, in reading order: `a small red star at the top left and a sign that says open, at night`."""
    if scene.flaw:
        return f"a {scene.flaw} photo"
    things = [(item.row, item.column, _described(scene, item)) for item in scene.objects]
    if scene.sign:
        things.append((scene.sign.row, -1, f"a sign that says {scene.sign.word}"))
    return f"{' and '.join(text for *_, text in sorted(things))}, {PLACE_PHRASES[scene.place]}"


def region_captions(scene: Scene, generator: random.Random) -> list[tuple[str, str]]:
    """`Describe the star.` with its answer: things that are there and as many that are not, what lies beside two of
    them, and what the sign says or does not say.

    To find a thing by its name is what nearly all questions need, and a description of it teaches that with every word.
    """
    if scene.flaw:
        return []
    found = {f"the {_name(scene, item, generator)}": _described(scene, item) for item in scene.objects}
    found |= {f"the {name}": f"There is no {name}." for name in _absent_names(scene, generator)}
    found |= _beside(scene, generator)
    if scene.sign:
        other = generator.choice([word for word in WORDS if word != scene.word])
        found[f'the sign that says "{scene.word}"'] = f"a sign that says {scene.word}"
        found[f'the sign that says "{other}"'] = f"There is no sign that says {other}."
    return [(f"Describe {what}.", answer) for what, answer in found.items()]


def relation_captions(scene: Scene, generator: random.Random, pairs: int) -> list[tuple[str, str]]:
    """How two things lie to each other, for up to so many pairs: in full, and as a statement that holds or does not.

    A yes or no about a relation teaches little, for most of what it takes must be there already: to find both things and
    to compare where they are. The full answer is two words about the comparison alone.
    """
    if scene.flaw:
        return []
    found = []
    ordered = [(one, two) for one in scene.objects for two in scene.objects if relations(one, two)]
    for one, two in generator.sample(ordered, min(pairs, len(ordered))):
        first, second = _name(scene, one, generator), _name(scene, two, generator)
        true = relations(one, two)
        lies = " and ".join(TOWARDS[relation] for relation in true)
        found.append((f"Where is the {first}, seen from the {second}?", lies))
        asked = generator.choice(true)
        if generator.random() < 0.5:
            asked = OPPOSITE[asked]
        found.append((f"The {first} is {BEHIND[asked]} the {second}: yes or no?", "yes" if asked in true else "no"))
    return found


def _name(scene: Scene, item: SceneObject, generator: random.Random) -> str:
    names = [item.label]
    names += [item.shape] * (len(scene.having(shape=item.shape)) == 1)
    names += [f"{item.colour} object"] * (len(scene.having(colour=item.colour)) == 1)
    return generator.choice(names)


def _absent_names(scene: Scene, generator: random.Random) -> list[str]:
    shapes = [shape for shape in SHAPES if not scene.having(shape=shape)]
    colours = [f"{colour} object" for colour in COLOURS if not scene.having(colour=colour)]
    labels = absent_labels(scene, generator, len(scene.objects))  # the hardest to tell, so half of them
    return list({generator.choice(generator.choice((labels, labels, shapes, colours))): None for _ in scene.objects})


def _beside(scene: Scene, generator: random.Random) -> dict[str, str]:
    found = {}
    for item in generator.sample(scene.objects, min(2, len(scene.objects))):
        relation, behind = generator.choice(list(BEHIND.items()))
        others = related(scene, relation, item)
        where = f"{behind} the {_name(scene, item, generator)}"
        if len(others) < 2:
            found[f"what is {where}"] = _described(scene, others[0]) if others else f"There is nothing {where}."
    return found


def in_reading_order(scene: Scene) -> list[SceneObject]:
    """The objects row by row."""
    return sorted(scene.objects, key=lambda item: (item.row, item.column))


def _described(scene: Scene, item: SceneObject) -> str:
    place = f"at the {row_of(scene, item)} {column_of(scene, item)}"
    return f"{with_article(f'{item.size} {item.label}')} {place}"
