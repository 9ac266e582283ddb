"""The questions of a run, loaded once more."""

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.errors import UserError
from moe_eval.runs.asked import load_asked
from moe_eval.runs.records import DataRecord
from moe_eval.task import Stopping

DATA = TASK.load("mini")


@pytest.mark.parametrize(
    "data", [DATA, DATA.first(18), DATA.stopped(Stopping("until=1", 3, len(DATA.samples), 1.3)).first(36)]
)
def test_they_are_those_that_were_asked_in_their_order(data):
    assert load_asked("pope", DataRecord.of(data), None).samples == data.samples


def test_other_questions_are_not_taken_for_them():
    record = DataRecord.of(DATA).model_copy(update={"fingerprint": "sha256:0"})
    with pytest.raises(UserError, match="pope: mini no longer holds the questions that were asked"):
        load_asked("pope", record, None)
