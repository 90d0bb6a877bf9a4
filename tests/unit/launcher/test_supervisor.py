"""What is decided when a process dies: how it is told, how often, and how long to wait before the next start."""

import pytest

from launcher.supervisor import deaths_in_a_row, how_it_ended, is_worth_telling


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (0, "ended with status 0"),
        (3, "ended with status 3"),
        (-9, "was killed by SIGKILL"),
        (-63, "was killed by signal 63"),
        (None, "ended"),
    ],
)
def test_an_end_is_told_with_its_status_as_far_as_it_is_known(returncode: int | None, words: str) -> None:
    assert how_it_ended(returncode) == words


def test_deaths_add_up_until_one_has_lived_long_enough() -> None:
    assert deaths_in_a_row(0, lived_seconds=2) == 1
    assert deaths_in_a_row(1, lived_seconds=29) == 2
    assert deaths_in_a_row(7, lived_seconds=31) == 1


def test_a_process_that_never_works_is_told_of_ever_more_rarely_and_never_forgotten() -> None:
    assert [deaths for deaths in range(1, 70) if is_worth_telling(deaths)] == [1, 2, 4, 8, 16, 32, 64]
