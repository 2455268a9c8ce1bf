"""What a limit promises, counted by another way than the product's."""

from collections.abc import Sequence


def most_in_a_window(at_us: Sequence[int], length_us: int) -> int:
    """The most of `at_us` (ascending) that any true window of `length_us` holds, both ends included."""
    most = first = 0
    for last, end_us in enumerate(at_us):
        while at_us[first] < end_us - length_us:
            first += 1
        most = max(most, last - first + 1)
    return most
