"""A scene in words: what captions for training say, and the ideal answer to "Describe the picture."."""

from moe_eval.mini.questions import PLACE_PHRASES, column_of, row_of, with_article
from moe_eval.mini.world import Scene, SceneObject

__all__ = ["CAPTION_REQUEST", "caption", "in_reading_order"]

CAPTION_REQUEST = "Describe the picture."


def caption(scene: Scene) -> str:
    """All that can be seen, in reading order: `a small red star at the top left and a sign that says open, at night`."""
    if scene.flaw:
        return f"a {scene.flaw} photo"
    things = [(item.row, item.column, _described(scene, item)) for item in scene.objects]
    if scene.sign:
        things.append((scene.sign.row, -1, f"a sign that says {scene.sign.word}"))
    return f"{' and '.join(text for *_, text in sorted(things))}, {PLACE_PHRASES[scene.place]}"


def in_reading_order(scene: Scene) -> list[SceneObject]:
    """The objects row by row."""
    return sorted(scene.objects, key=lambda item: (item.row, item.column))


def _described(scene: Scene, item: SceneObject) -> str:
    place = f"at the {row_of(scene, item)} {column_of(scene, item)}"
    return f"{with_article(f'{item.size} {item.label}')} {place}"
