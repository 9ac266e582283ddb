"""Data inside an HTML page: as JSON that cannot end its script element, or compressed for what is read later."""

import base64
import gzip
import json
from typing import Any

__all__ = ["pack", "script_json"]

_ESCAPES = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})


def script_json(value: Any) -> str:
    """JSON for a `<script type="application/json">`: ASCII, and without the characters that HTML could see a tag in.

    >>> script_json({"answer": "</script><!--"})
    '{"answer":"\\\\u003c/script\\\\u003e\\\\u003c!--"}'
    """
    return _json(value).translate(_ESCAPES)


def pack(value: Any) -> str:
    """JSON, gzipped, in base64: what the page's `unpack` reads. The same value gives the same text at any time."""
    return base64.b64encode(gzip.compress(_json(value).encode("ascii"), compresslevel=6, mtime=0)).decode("ascii")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
