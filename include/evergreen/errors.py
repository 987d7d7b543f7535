"""
Every failure this package raises on purpose.

EvergreenError
├── SpecError               the YAML is wrong            fix the file it names
├── AsOfError               the run lives at no instant  trigger it with a valid ``as_of``
├── DataContractError       the data broke its word      repair or quarantine the partition
│   └── MissingPartitionError   a day is missing         land the day it names, then clear the task
├── CandidateError          the model's own code failed  fix prepare.py or pipeline.py
├── UpstreamFailedError     an earlier task failed       repair that one, then clear it
├── ArtifactError           a stored object is not what  do not use it; restore or retrain
│                           its manifest says
├── NoChampionError         nothing may serve            run retrain for an earlier as_of first
├── AliasMovedError         the alias is not where the   run rollback with the version that shall
│                           ledger put it                serve
├── RolloutError            a version could not prove    look at the model server it names, then
│                           itself to the callers        clear the task
├── RollbackError           there is no way back as      name another version, or say force
│                           asked
├── PromotionError          a version may not go to     name one that passed and serves, or look
│                           another environment         at what it names there
├── ComparisonError         predictions cannot be       repair the file or option it names
│                           compared
├── CiReceiptError          a CI run cannot be kept     run it on the commit as it is
├── ExplanationError        a row cannot be explained   name a scored day and a row of it
├── BacktestError           there is too little past     backfill the nights it names
├── ReproductionError       a version was not the same   find what changed since; it is named
├── MonitoringError         what is monitored cannot   land or repair what it names, then
│                           seen                        clear the run
├── StateError              an invariant does not hold  repair what it names before the next night
└── StackError              a local service cannot run   free the port or read the log it names

None of them is worth a retry: the same inputs fail the same way again.
Network and storage failures keep their own types, and those are retried.
"""

from __future__ import annotations


class EvergreenError(Exception):
    """Base class; catch this to separate our verdicts from accidents."""


class SpecError(EvergreenError):
    """A model spec does not describe a model that can be built."""


class AsOfError(EvergreenError):
    """No usable ``as_of`` can be derived from a run."""


class DataContractError(EvergreenError):
    """The data does not look the way the spec says it does."""


class MissingPartitionError(DataContractError):
    """A partition a run needs did not arrive in time."""


class CandidateError(EvergreenError):
    """A user's prepare or pipeline function gave something that cannot be used."""


class UpstreamFailedError(EvergreenError):
    """A task that runs whatever its upstream tasks did has nothing to work on."""


class ArtifactError(EvergreenError):
    """Stored bytes differ from their recorded digest, or hold a type that is not trusted."""


class HeldError(EvergreenError):
    """The newest day of monitor is red, and the spec says to wait."""


class NoChampionError(EvergreenError):
    """No version was champion at the given instant."""


class AliasMovedError(EvergreenError):
    """Somebody moved the champion alias by hand, so nothing can be promoted over it."""


class RolloutError(EvergreenError):
    """A stage of a rollout could not be measured, so the version does not serve."""


class RollbackError(EvergreenError):
    """The named version must not serve, or there is none to go back to."""


class PromotionError(EvergreenError):
    """A version may not go to another environment, or somebody was faster there."""


class ComparisonError(EvergreenError):
    """Files of predictions, or the options that describe them, cannot be used for a comparison."""


class CiReceiptError(EvergreenError):
    """The results of a CI run do not belong to a commit, or cannot be read."""


class ExplanationError(EvergreenError):
    """There is no such row, or no prediction of its day."""


class BacktestError(EvergreenError):
    """A range holds too few nights to say what would have happened."""


class ReproductionError(EvergreenError):
    """A version that was made again differs from the one that is registered."""


class MonitoringError(EvergreenError):
    """A monitor has no result, or none that can be used."""


class StateError(EvergreenError):
    """What must hold at any time does not hold."""


class StackError(EvergreenError):
    """The embedded stack cannot start or does not become healthy."""
