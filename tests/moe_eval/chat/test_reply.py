"""What comes back from an endpoint."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from moe_eval.chat.reply import seconds_to_wait


@pytest.mark.parametrize(("asked", "seconds"), [(None, 0), ("7", 7), ("0.5", 0.5), ("-1", 0), ("soon", 0)])
def test_how_long_to_wait_is_read(asked, seconds):
    assert seconds_to_wait(asked) == seconds


def test_a_date_to_wait_for_is_read():
    then = datetime.now(UTC) + timedelta(minutes=10)
    assert 590 < seconds_to_wait(format_datetime(then, usegmt=True)) <= 600
    assert seconds_to_wait(format_datetime(then - timedelta(hours=1), usegmt=True)) == 0
