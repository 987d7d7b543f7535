"""
Tests of a share that may be looked at as often as one likes.

The evidence is a likelihood ratio: how much better the counts agree with a mixture of shares beyond
the limit than with the limit itself. While the true share is within the limit, the chance that the
evidence ever reaches ``1 / alpha`` is at most alpha, however often and whenever it is looked at
(Robbins, "Statistical Methods Related to the Law of the Iterated Logarithm", Annals of Mathematical
Statistics 41(5), 1970; Johari, Koomen, Pekelis and Walsh, "Peeking at A/B Tests", KDD 2017). The
mixture is a beta distribution cut off at the limit, so that the ratio has a closed form.

Pure: counts in, numbers out.
"""

from __future__ import annotations

import math
from functools import cache

from scipy import special

#: A share that decides is compared with this multiple of it, where the mixture has its mean.
BEYOND = 3.0
#: Shares are kept this far from 0 and 1, where a likelihood is not defined.
MARGIN = 1e-9


def evidence_above(count: int, total: int, *, limit: float) -> float:
    """
    Return the logarithm of the evidence that a share is above *limit*.

    :param count: How many of *total* independent trials had the property.
    :param limit: From 0 to below 1; at 0 one count is all the evidence there can be.
    :return: Minus infinity if the counts lie far below the limit.
    """
    if limit <= 0:
        return math.inf if count else 0.0
    limit = min(limit, 1 - MARGIN)
    b = max(1 / min(BEYOND * limit, 0.5) - 1, 1.0)
    above = _log(special.betaincc(1 + count, b + total - count, limit))
    prior = special.betaln(1, b) + _log(special.betaincc(1, b, limit))
    return _ratio(count, total, b=b, mass=above, prior=prior, share=limit)


def evidence_below(count: int, total: int, *, limit: float) -> float:
    """Return the logarithm of the evidence that a share is below *limit*, above 0 and below 1."""
    b = max(BEYOND / limit - 1, 1.0)
    below = _log(special.betainc(1 + count, b + total - count, limit))
    prior = special.betaln(1, b) + _log(special.betainc(1, b, limit))
    return _ratio(count, total, b=b, mass=below, prior=prior, share=limit)


@cache
def trials_needed(limit: float, *, alpha: float) -> int:
    """Return how many trials without a count are evidence at *alpha* that a share is below."""
    total = 1
    while evidence_below(0, total, limit=limit) < -math.log(alpha):
        total *= 2
    low = total // 2
    while total - low > 1:
        middle = (low + total) // 2
        if evidence_below(0, middle, limit=limit) < -math.log(alpha):
            low = middle
        else:
            total = middle
    return total


def _ratio(count: int, total: int, *, b: float, mass: float, prior: float, share: float) -> float:
    mixture = float(special.betaln(1 + count, b + total - count)) + mass - prior
    return float(mixture - count * math.log(share) - (total - count) * math.log1p(-share))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
