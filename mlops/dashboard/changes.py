"""Changes of what serves, from the dashboard: the question with the comparison that justifies it, and the
doing, by the same verbs that programs have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from mlops.entities import DeploymentState, Side
from mlops.errors import InvalidInput, ModelNotFound
from mlops.metric_order import by_kinship
from mlops.model_desk import VersionState
from mlops.monitoring.board import EndpointState
from mlops.platform import Platform
from mlops.store.audit import AuditEntry

MOST_METRICS = 12
"""Of the comparison."""


class Verb(StrEnum):
    """What may be done."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    WEIGHT = "weight"
    END = "end"
    DEPLOY = "deploy"
    UNDEPLOY = "undeploy"


_USUAL_SIDES = {Verb.WEIGHT: Side.CANARY, Verb.ROLLBACK: Side.PREVIOUS}


@dataclass(frozen=True, slots=True)
class Party:
    """A version of the comparison."""

    version: int
    state: VersionState | None
    """None where it is not in the index."""
    endpoint: EndpointState | None
    """None where it does not serve."""


@dataclass(frozen=True, slots=True)
class Question:
    """What will change, and what it is judged by."""

    verb: Verb
    project: str
    model: str
    title: str
    words: str
    candidate: Party | None
    champion: Party | None
    """Of what serves."""
    side: Side | None
    weight: int
    replicas: int
    last: AuditEntry | None

    def metrics(self) -> tuple[tuple[str, float | None, float | None], ...]:
        """Name, the candidate's value and the champion's."""
        found = [_metrics(self.candidate), _metrics(self.champion)]
        names = list(dict.fromkeys(chain(*found)))  # the primary one first
        names = by_kinship(names, names[0]) if names else names
        return tuple((name, found[0].get(name), found[1].get(name)) for name in names[:MOST_METRICS])


@dataclass(frozen=True, slots=True)
class Answer:
    """What was filled in; texts as the form has them."""

    version: str = ""
    side: str = ""
    weight: str = ""
    replicas: str = ""
    why: str = ""


def ask(platform: Platform, project: str, model: str, verb: Verb, version: str, side: str) -> Question:
    """The question; raises `InvalidInput` for a version or side that there is not, `ModelNotFound`,
    `ServiceUnavailable`."""
    rows = [each for each in platform.board.endpoints(project) if each.deployment.model == model]
    champion = _of_side(rows, Side.CHAMPION)
    meant = _side(side) if side else _USUAL_SIDES.get(verb)
    candidate = _candidate(rows, verb, version, meant)
    if candidate is None and verb is not Verb.UNDEPLOY:
        raise InvalidInput(
            "model", model, f"has no {meant or 'such version'}", remedy="Look at its page again."
        )
    if verb is Verb.DEPLOY and candidate is not None:
        platform.models.version(project, model, candidate)
    actions = platform.models.actions(project, model)
    served = champion.deployment.version if champion else None
    canary = _of_side(rows, Side.CANARY)
    return Question(
        verb=verb,
        project=project,
        model=model,
        title=_title(verb, model, candidate, meant),
        words=_words(verb, candidate, served, meant),
        candidate=None if candidate is None else _party(platform, project, model, candidate, rows),
        champion=None if served in (None, candidate) else _party(platform, project, model, served, rows),
        side=meant or (Side.CHAMPION if champion is None else Side.CANARY),
        weight=canary.deployment.weight if canary else 10,
        replicas=champion.deployment.replicas if champion else 1,
        last=actions[0] if actions else None,
    )


def do(platform: Platform, project: str, model: str, verb: Verb, answer: Answer, who: str) -> str:
    """Do it; gives words for whom has asked. Raises what the platform's verb does, and `InvalidInput` where
    another version is meant by now than was asked about."""
    _check_is_meant(platform, project, model, verb, answer)
    if verb is Verb.PROMOTE:
        made = platform.promote(project, model, _whole("version", answer.version), who, answer.why)
        return f"{model} v{made.version} is the champion."
    if verb is Verb.ROLLBACK:
        made = platform.rollback(project, model, who, answer.why)
        return f"{model} v{made.version} is the champion again."
    if verb is Verb.WEIGHT:
        made = platform.weigh(project, model, _whole("weight", answer.weight), who, answer.why)
        return f"{model} v{made.version} answers {made.weight} % of the callers."
    if verb is Verb.END:
        made = platform.end(project, model, _side(answer.side), who, answer.why)
        return f"{model} v{made.version} is no {made.side.value} any more."
    if verb is Verb.UNDEPLOY:
        platform.undeploy(project, model, who)
        return f"{model} is served no more."
    return _deploy(platform, project, model, answer, who)


def _check_is_meant(platform: Platform, project: str, model: str, verb: Verb, answer: Answer) -> None:
    side = _side(answer.side) if verb is Verb.END else _USUAL_SIDES.get(verb)
    if side is None or not answer.version:
        return
    rows = [each for each in platform.board.endpoints(project) if each.deployment.model == model]
    found = _of_side(rows, side)
    if found is not None and str(found.deployment.version) != answer.version:
        raise InvalidInput(
            "version", answer.version, f"is not the {side} any more: v{found.deployment.version} is",
            remedy="Close this, and look at the page again.",
        )  # fmt: skip


def _deploy(platform: Platform, project: str, model: str, answer: Answer, who: str) -> str:
    version, side = _whole("version", answer.version), _side(answer.side)
    platform.models.version(project, model, version)
    made = platform.deploy(
        project, model, version, _whole("replicas", answer.replicas or "1"), who,
        side=side, weight=_whole("weight", answer.weight or "0") if side is Side.CANARY else 0,
        why=answer.why,
    )  # fmt: skip
    return f"{model} v{made.version} is on its way."


def _candidate(rows: Sequence[EndpointState], verb: Verb, version: str, side: Side | None) -> int | None:
    if verb in (Verb.PROMOTE, Verb.DEPLOY):
        return _whole("version", version)
    if verb is Verb.UNDEPLOY or side is None:
        return None
    found = _of_side(rows, side)
    return found.deployment.version if found else None


def _of_side(rows: Sequence[EndpointState], side: Side) -> EndpointState | None:
    """The one that runs, else the newest."""
    found = [each for each in rows if each.deployment.side is side]
    running = (each for each in found if each.deployment.state is DeploymentState.RUNNING)
    return next(running, found[0] if found else None)


def _party(
    platform: Platform, project: str, model: str, version: int, rows: Sequence[EndpointState]
) -> Party:
    try:
        state = platform.models.version(project, model, version)
    except ModelNotFound:
        state = None
    return Party(version, state, next((each for each in rows if each.deployment.version == version), None))


def _metrics(party: Party | None) -> dict[str, float]:
    return dict(party.state.metrics) if party is not None and party.state is not None else {}


def _title(verb: Verb, model: str, version: int | None, side: Side | None) -> str:
    return {
        Verb.PROMOTE: f"Promote {model} v{version}",
        Verb.ROLLBACK: f"Roll {model} back to v{version}",
        Verb.WEIGHT: f"Share of the canary {model} v{version}",
        Verb.END: f"End the {'previous champion' if side is Side.PREVIOUS else side} {model} v{version}",
        Verb.DEPLOY: f"Deploy {model} v{version}",
        Verb.UNDEPLOY: f"Undeploy {model}",
    }[verb]


def _words(verb: Verb, version: int | None, served: int | None, side: Side | None) -> str:
    """What will change."""
    if verb is Verb.PROMOTE or verb is Verb.ROLLBACK:
        stays = f" v{served} stays up as the previous one, to roll back to." if served else ""
        return f"v{version} answers all callers, at once.{stays} MLflow's alias champion moves to v{version}."
    if verb is Verb.END and side is Side.CANARY:
        return f"v{version} stops, and v{served} answers all callers."
    if verb is Verb.END and side is Side.SHADOW:
        return f"v{version} stops. Callers notice nothing: its answers were dropped."
    if verb is Verb.END:
        return f"v{version} stops. Until the next promotion there is nothing to roll back to."
    if verb is Verb.WEIGHT:
        return f"From now on v{version} answers that many percent of the callers, and v{served} the others."
    if verb is Verb.UNDEPLOY:
        return "Every version stops, and callers get 404. The registered versions stay."
    waits = f" Until it runs v{served} answers as it does now." if served else ""
    return f"The worker packages and starts v{version}; the page shows how far it is.{waits}"


def _side(stated: str) -> Side:
    if stated not in set(Side):
        raise InvalidInput("side", stated[:40], "is no side", remedy=f"Use one of: {', '.join(Side)}.")
    return Side(stated)


def _whole(field: str, stated: str) -> int:
    if not (stated.isascii() and stated.isdecimal() and len(stated) < 10):
        raise InvalidInput(field, stated[:40], "is no whole number", remedy="Give one.")
    return int(stated)
