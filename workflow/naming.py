"""Names of the numbers that prose may quote."""

from __future__ import annotations


def slug(name: str) -> str:
    """Write a method's name as part of a number's name.

    Examples
    --------
    >>> slug("CCL by Eq. 12+SVM")
    'ccl_by_eq_12_svm'
    """
    return "_".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())


def signed(value: float) -> str:
    """Write a difference with its sign and two decimals; one that rounds to nothing has the sign of zero.

    Examples
    --------
    >>> signed(0.126), signed(-0.001)
    ('+0.13', '+0.00')
    """
    return f"{round(value, 2) + 0.0:+.2f}"
