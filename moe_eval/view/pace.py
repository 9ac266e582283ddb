"""How fast answers come, told from their number as time goes by."""

from collections import deque

__all__ = ["Pace"]

WINDOW_SECONDS = 60.0


class Pace:
    """The rate of the last minute, or of the last two answers where they come more slowly."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, seconds: float, count: int) -> None:
        """So many there are at this time; fewer than before means that the run was begun anew."""
        if self._seen and count < self._seen[-1][1]:
            self._seen.clear()
        if not self._seen or count > self._seen[-1][1]:
            self._seen.append((seconds, count))
        while len(self._seen) > 3 and self._seen[1][0] < seconds - WINDOW_SECONDS:
            self._seen.popleft()

    def pause(self) -> None:
        """What comes after a stop is not measured from before it."""
        self._seen.clear()

    @property
    def per_second(self) -> float | None:
        """None while only one number has been seen."""
        if len(self._seen) < 2:
            return None
        (start, fewer), (end, more) = self._seen[0], self._seen[-1]
        return (more - fewer) / max(end - start, 1e-9)
