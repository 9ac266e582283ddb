from moe_eval.view.pace import Pace


def test_one_number_is_no_rate():
    pace = Pace()
    pace.note(0.0, 100)
    assert pace.per_second is None


def test_what_was_there_before_does_not_count():
    pace = Pace()
    for second in range(11):
        pace.note(second, 1000 + 3 * second)
    assert pace.per_second == 3.0


def test_it_is_of_the_last_minute():
    pace = Pace()
    for second in range(60):
        pace.note(second, second)
    for second in range(60, 180):
        pace.note(second, 60 + 5 * (second - 60))
    assert 4.9 < pace.per_second < 5.1


def test_answers_that_take_minutes_have_a_rate():
    pace = Pace()
    for second in range(0, 2000, 10):
        pace.note(second, second // 500)
    assert pace.per_second == 1 / 500


def test_it_starts_anew_after_a_pause_and_with_a_run_that_was_begun_anew():
    pace = Pace()
    pace.note(0.0, 10)
    pace.note(1.0, 12)
    pace.note(2.0, 1)
    assert pace.per_second is None
    pace.note(3.0, 4)
    assert pace.per_second == 3.0
    pace.pause()
    assert pace.per_second is None
