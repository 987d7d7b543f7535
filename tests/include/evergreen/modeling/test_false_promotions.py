"""A year of equal challengers promotes hardly any, whatever the schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evergreen.modeling.false_promotions import YEAR, level_of
from evergreen.modeling.paired_gain import PairedGain, obuchowski_gain
from evergreen.spec.modeling import ChampionGate
from evergreen.storage import layout
from evergreen.storage.folder import FolderStore

NIGHT = datetime(2026, 1, 1, 3, tzinfo=UTC)
RULE = ChampionGate()


def ask(store, *, as_of=NIGHT, challenger="k1", against="1", rule=RULE, keep=True):
    return level_of(
        store, "m", rule, as_of=as_of, challenger=challenger, against=against, keep=keep
    )


def test_the_first_evaluation_takes_a_sixtieth_of_the_budget(store):
    found = ask(store)

    assert (found.level, found.spent, found.yearly) == (pytest.approx(0.5 / 60, abs=1e-6), 0, 0.5)
    assert found.summary == "0.008 of 0.5 false promotions a year spent"


def test_an_evaluation_that_is_repeated_takes_nothing_more(store):
    first = ask(store)
    ask(store, as_of=NIGHT + timedelta(days=1), challenger="k2")

    assert ask(store) == first
    assert len(list(store.list("evaluation_levels/"))) == 2


def test_one_that_may_not_promote_takes_nothing(store):
    ask(store, keep=False)

    assert list(store.list("evaluation_levels/")) == []
    assert ask(store, challenger="k2").spent == 0


def test_without_a_budget_there_is_no_level(store):
    assert ask(store, rule=ChampionGate(false_promotions_per_year=None)) is None
    assert list(store.list("evaluation_levels/")) == []


def test_no_level_is_larger_than_the_confidence_allows_or_zero(store):
    large = ChampionGate(false_promotions_per_year=100)

    assert ask(store, rule=large).level == pytest.approx(0.025)
    for n in range(30):
        ask(store, rule=large, challenger=f"a{n}")
    assert ask(store, rule=RULE, challenger="b").level == 1e-6


@given(
    days=st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=150),
    yearly=st.floats(0.01, 5),
)
def test_no_year_spends_more_than_its_budget_whatever_the_schedule(tmp_path_factory, days, yearly):
    store = FolderStore(tmp_path_factory.mktemp("levels"))
    rule = ChampionGate(false_promotions_per_year=yearly)
    as_of, asked = NIGHT, []
    for n, step in enumerate(days):
        as_of += timedelta(days=step)
        asked.append((as_of, ask(store, as_of=as_of, challenger=f"k{n}", rule=rule).level))

    for last, _ in asked:
        in_a_year = sum(level for when, level in asked if last - YEAR < when <= last)
        assert in_a_year <= yearly + 1e-4  # the levels are rounded to six digits


def test_a_key_names_what_it_is_about():
    key = layout.evaluation_level("m", NIGHT, "abc", "12", 0.001234)

    assert layout.parsed_level(key) == (NIGHT, "abc", "12", 0.001234)


class Nights:
    """Rolling test days of a simulated world: 900 rows a day, models with an offset of each day."""

    rows, window = 900, 14

    def __init__(self, seed: int, *, nights: int, bias: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.bias, shape = bias, (nights + self.window, self.rows)
        self.signal = self.rng.normal(size=shape)
        self.labels = self.rng.random(shape) < 1 / (1 + np.exp(1 - 1.5 * self.signal))

    def model(self, noise: float) -> np.ndarray:
        """Return a model's predictions for the whole world."""
        offsets = self.rng.normal(0, self.bias, (len(self.signal), 1))
        return self.signal + offsets + noise * self.rng.normal(size=self.signal.shape)

    def gain(self, night: int, ours: np.ndarray, theirs: np.ndarray) -> PairedGain:
        """Return the gain on the test days of *night*."""
        days = slice(night, night + self.window)
        clusters = np.repeat(np.arange(self.window), self.rows)
        values = (self.labels[days].ravel(), ours[days].ravel(), theirs[days].ravel())
        found, error = obuchowski_gain(*values, clusters=clusters)
        return PairedGain(gain=found, error=error, clusters=self.window)


def is_promoted(store, night: int, found: PairedGain) -> bool:
    level = ask(store, as_of=NIGHT + timedelta(days=night), challenger=f"k{night}").level
    return found.lower(1 - level) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1))
def test_three_hundred_nights_of_equal_challengers_promote_at_most_two(tmp_path, seed):
    store, nights = FolderStore(tmp_path), 300
    world = Nights(seed, nights=nights, bias=0.5)
    champion, promoted = world.model(0.5), 0
    for night in range(nights):
        challenger = world.model(0.5)
        if is_promoted(store, night, world.gain(night, challenger, champion)):
            champion, promoted = challenger, promoted + 1

    assert promoted <= 2


@pytest.mark.slow
def test_after_a_year_a_gain_of_two_hundredths_is_found_within_fourteen_nights(tmp_path):
    """The budget is spent as far as nightly evaluations ever spend it."""
    store = FolderStore(tmp_path)
    for night in range(-365, 0):
        ask(store, as_of=NIGHT + timedelta(days=night), challenger=f"k{night}")
    found, gains = 0, []
    for seed in range(20):
        world = Nights(seed, nights=14, bias=0.3)
        champion = world.model(0.9)
        for night in range(14):
            gain = world.gain(night, world.model(0.7), champion)
            gains.append(gain.gain)
            if is_promoted(store, night, gain):
                found += 1
                break

    assert np.mean(gains) < 0.03
    assert found >= 0.8 * 20


@pytest.mark.parametrize("true", [0.0, 1.0, 3.0])
def test_a_gain_that_was_selected_is_corrected_to_the_true_one_in_the_median(true):
    rng = np.random.default_rng(0)
    drawn = rng.normal(true, 1, 100_000)
    enough = drawn[drawn > PairedGain(gain=0.0, error=1.0, clusters=10_000).upper(0.99)][:500]
    promoted = [PairedGain(gain=gain, error=1.0, clusters=10_000) for gain in enough]

    raw = np.median([found.gain for found in promoted])
    corrected = np.median([found.corrected(0.99) for found in promoted])

    assert corrected == pytest.approx(true, abs=0.2)
    assert raw > true + 0.1


def test_a_gain_that_was_not_shown_has_no_corrected_one():
    assert np.isnan(PairedGain(gain=0.1, error=1.0, clusters=9).corrected(0.99))
    assert PairedGain(gain=0.1, error=0.0, clusters=9).corrected(0.99) == 0.1
    far = PairedGain(gain=1.0, error=0.01, clusters=9)
    assert far.corrected(0.99) == pytest.approx(1.0, abs=1e-3)
