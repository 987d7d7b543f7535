"""
How sure an evaluation must be, so that a year of equal challengers promotes hardly any.

A challenger is evaluated every night, and each evaluation could promote an equal one by chance. The
chances of a year add up, whatever they depend on, so they come from one budget: each evaluation
takes a fixed share of what the evaluations of the year before it have left (an infinite sequence of
levels as in alpha spending: Foster and Stine, "Alpha-Investing", Journal of the Royal Statistical
Society B 70(2), 2008; without the gains that those levels win back).
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from pydantic import Field

from evergreen.spec.modeling import ChampionGate
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, put_document_once
from evergreen.values import Frozen

log = logging.getLogger(__name__)

YEAR = timedelta(days=365)
#: The share of what is left that one evaluation takes. Nightly ones come to six sevenths of the
#: budget in a year, weekly ones to half of it; the first ones are the most powerful.
SHARE = 1 / 60
#: No level is smaller, also where a budget was lowered after it was spent.
MIN_LEVEL = 1e-6


class EvaluationLevel(Frozen):
    """
    The chance with which one evaluation may promote an equal challenger.

    ``spent`` are the levels of the evaluations in the year before it, of ``yearly``.
    """

    as_of: datetime
    challenger: str
    against: str
    level: float = Field(gt=0, lt=1)
    spent: float = Field(ge=0)
    yearly: float = Field(gt=0)

    @property
    def summary(self) -> str:
        """How much of the budget is spent, this evaluation included."""
        total = self.spent + self.level
        return f"{total:.3f} of {self.yearly:g} false promotions a year spent"


def level_of(
    store: ObjectStore,
    model: str,
    rule: ChampionGate,
    *,
    as_of: datetime,
    challenger: str,
    against: str,
    keep: bool,
) -> EvaluationLevel | None:
    """
    Return the level of the evaluation of *challenger* beside version *against*.

    Safe to repeat: an evaluation whose level is kept has that level again.

    :param keep: Whether the level is kept and counts for later evaluations; it does for one that
        may promote.
    :return: None if *rule* has no budget.
    """
    if rule.false_promotions_per_year is None:
        return None
    spent = 0.0
    for key in store.list(layout.all_of("evaluation_levels", model)):
        try:
            when, who, beside, level = layout.parsed_level(key)
        except ValueError:
            log.warning("%s names no level and is left out; move it elsewhere", key)
            continue
        if (who, beside) == (challenger, against):
            return load_document(store, key, EvaluationLevel)
        if as_of - YEAR < when <= as_of:
            spent += level
    share = SHARE * (rule.false_promotions_per_year - spent)
    level = round(min(1 - rule.confidence, max(share, MIN_LEVEL)), 6)
    found = EvaluationLevel(
        as_of=as_of,
        challenger=challenger,
        against=against,
        level=level,
        spent=round(spent, 6),
        yearly=rule.false_promotions_per_year,
    )
    if not keep:
        return found
    record_key = layout.evaluation_level(model, as_of, challenger, against, level)
    return put_document_once(store, record_key, found)
