"""Text in cells of a CSV, such that a spreadsheet shows it and does not compute it."""

__all__ = ["harmless"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would take it for a formula; numbers stay as they are.

    >>> harmless("=1+1"), harmless("-3.5"), harmless("-cat"), harmless("dog")
    ("'=1+1", '-3.5', "'-cat", 'dog')
    """
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
