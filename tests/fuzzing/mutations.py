"""Ways in which files go wrong: bits that flip, files that end early, JSON that says something odd."""

import json
from random import Random
from typing import Any

__all__ = ["mutate"]

ODD_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 7, 0.5, 1e300, float("inf"), float("nan"), 2**70),
    *("", "None", "nan", "<image>", "\ud800", "\u0000", "\u202e" * 50, "=1+1", "/etc/passwd", "../../x", "a" * 5000),
    *([], {}, [[]], [None], [0.5], {"a": 1}, ["a", "b"], "NESTED"),
]
NESTED = "[" * 100_000 + "]" * 100_000


def mutate(content: bytes, random: Random) -> bytes:
    """The content of a file with one or two things wrong; JSON and JSON lines mostly stay such."""
    for _ in range(random.choice((1, 1, 2))):
        structured = random.random() < 0.7 and _json_mutation(content, random)
        content = structured or random.choice(BYTE_MUTATIONS)(content, random)
    return content


def _json_mutation(content: bytes, random: Random) -> bytes | None:
    """One value replaced, removed or doubled; None for what is no JSON."""
    lines = content.split(b"\n")
    number = None
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        filled = [index for index, line in enumerate(lines) if line.strip()]
        if not filled:
            return None
        number = random.choice(filled)
        try:
            tree = json.loads(lines[number])
        except (ValueError, RecursionError):
            return None
    text = json.dumps(_change(tree, random)).replace('"NESTED"', NESTED).encode()
    if number is None:
        return text
    return b"\n".join([*lines[:number], text, *lines[number + 1 :]])


def _change(tree: Any, random: Random) -> Any:
    places = list(_places(tree))
    if not places:
        return random.choice(ODD_VALUES)
    parent, key = random.choice(places)
    kind = random.random()
    if kind < 0.2:
        del parent[key]
    elif kind < 0.3 and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    elif kind < 0.4:
        other_parent, other_key = random.choice(places)
        parent[key] = json.loads(json.dumps(other_parent[other_key]))
    else:
        parent[key] = random.choice(ODD_VALUES)
    return tree


def _places(tree: Any) -> Any:
    """(container, key) of everything below the top."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def _flip(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 3, 30))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _leave_out(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    return content[:start] + content[start + random.choice((1, 10, 1000)) :]


def _put_in(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    odd = random.choice([b"\x00", b"\xff\xfe", b"\xe9", b"\n", b"{", b"[", b"\t", b'"', b"\r\n", b"\xef\xbb\xbf"])
    return content[:start] + odd + content[start:]


def _double(content: bytes, random: Random) -> bytes:
    return content + content


def _empty(content: bytes, random: Random) -> bytes:
    return b""


BYTE_MUTATIONS = (_flip, _flip, _cut, _cut, _leave_out, _put_in, _put_in, _double, _empty)
