"""Why a program or a duty is answered as it is: every condition of the version in force, with what is known of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from difflib import get_close_matches
from itertools import takewhile
from zoneinfo import ZoneInfo

from rich.text import Text
from rich.tree import Tree as Shown

from contracts.facts import SubjectFacts
from kernel.errors import ConfigurationError
from rulebook.cases import Case
from rulebook.compiled import CompiledDuty, CompiledProgram
from rulebook.contradictions import Contradictions, contradicted
from rulebook.duties import COUNTY_UNRESOLVED, FACTS_CONTRADICT, Decision, DutyFacts, decide
from rulebook.generated import engine
from rulebook.kleene import Truth
from rulebook.knowledge import standing
from rulebook.leaves import Leaf, TableLeaf
from rulebook.loader import Law
from rulebook.person import contradictions, known_facts, not_answered, reported_facts
from rulebook.programs import determine
from rulebook.remarks import remarks
from rulebook.review import settling
from rulebook.schema import Clock, Period
from rulebook.trees import AllTree, AnyTree, AtLeastTree, Evaluation, NotTree, Reason, Tree, reason, reasons
from rulebook.values import FactMap
from rulebook.wording import compared, said

_STANDINGS = {
    "known": "known",
    "partly_known": "partly known",
    "not_known": "asked, and not known",
    "refused": "refused, do not ask again",
    "not_asked": "not asked",
}
_MARKS = {Truth.TRUE: ("met", "green"), Truth.FALSE: ("not met", "red"), Truth.UNKNOWN: ("open", "yellow")}
_SETTLES = "each line could settle it by itself"
_QUALIFIES = "each line could make it a yes"
_CHANNELS = {
    "electronic": "a notice that is sent",
    "task": "a task that a person does, and that is recorded",
}
_NOT_VERIFIED = "NOT VERIFIED: {}; verify it before it is relied on"


def explain(rule: str, case: Case, law: Law, *, jurisdiction: str, as_of: date) -> Shown:
    """The tree of why, for a rule of the jurisdiction or of one that it is within. Raises ConfigurationError."""
    if jurisdiction not in law.jurisdictions:
        raise ConfigurationError(f"the law holds no jurisdiction {jurisdiction}; write {_either(law.jurisdictions)}")
    at = datetime.combine(as_of, time(12), ZoneInfo(law.jurisdictions[jurisdiction].time_zone))
    plan = engine(law).plan(jurisdiction)
    for program in plan.programs:
        if program.spec.id == rule:
            return _program(program, case, law, jurisdiction, at)
    for duty in plan.duties:
        if duty.spec.id == rule:
            return _duty(duty, case, law, jurisdiction, at)
    raise _unknown(rule, law, [p.spec.id for p in plan.programs] + [d.spec.id for d in plan.duties], jurisdiction)


def _program(program: CompiledProgram, case: Case, law: Law, jurisdiction: str, at: datetime) -> Shown:
    day, encounter_on = law.local_date(jurisdiction, at), law.local_date(jurisdiction, case.encounter_at)
    found = determine(case.facts, law, jurisdiction=jurisdiction, encounter_at=case.encounter_at, as_of=at)
    answer = found.answer(program.spec.id)
    remarked = remarks(answer, program.spec, law)
    reported = reported_facts(case.facts, law, encounter_on=encounter_on, as_of=day)
    known = known_facts(case.facts, law, encounter_on=encounter_on, as_of=day, presume=False)
    on, told = Evaluation(known, day), _Told(case.facts, law, known, frozenset(reported))
    top = Shown(Text(f"{program.spec.name} ({program.spec.id}), as of {day}: {_words(answer.outcome)}", "bold"))
    top.add(Text(f"{_release(law)}; confidence in the rule as it is written there: {answer.confidence}"))
    top.add(Text(f"whether the service is there, apart from the person's own eligibility: {_words(answer.supply)}"))
    if not remarked.citation_verified:
        top.add(Text(_NOT_VERIFIED.format("part of the rule was seen in no source"), "magenta"))
    if remarked.time_limits:
        top.add(Text(f"time limits, beside the conditions: {remarked.time_limits}"))
    if answer.note:
        top.add(Text(answer.note))
    applied = [v for v in program.versions if v.spec.effective.from_ == answer.version_from]
    if not applied and program.by_key is not None and not answer.note:
        top.add(Text(f"which version applies is not known: {program.spec.version_key} chooses it"))
        applied = list(program.versions)
    for version in applied:
        shown = _version(top, version.spec.effective, version.spec.cite)
        if program.spec.version_key is not None:
            shown.add(Text(f"chosen by {program.spec.version_key}, and not by the day asked about"))
        if version.spec.note is not None:
            shown.add(Text(f"note: {version.spec.note}"))
        _condition(shown.add, version.when, on, told)
    _listed(top, "found in", remarked.found_in)
    _listed(top, "decided by", map(told.reason, answer.reasons))
    _excluded(top, {fact: found.contradictions[fact] for fact in answer.contradicted})
    _listed(top, "to ask", map(told.missing, answer.missing))
    _listed(top, _SETTLES, map(_together, answer.gaps.to_settle))
    _listed(top, _QUALIFIES, map(_together, answer.gaps.to_qualify))
    _listed(top, "no yes without", answer.gaps.needed)
    _listed(top, "each line could change it, were it otherwise", map(_together, answer.would_change))
    if answer.presumed is not None:
        facts = ", ".join(answer.presumed.facts)
        top.add(Text(f"presumed, not known: with {facts} it would be {_words(answer.presumed.outcome)}", "magenta"))
    if answer.disputed is not None:
        dispute = top.add(Text(f"disputed: {answer.disputed.issue} ({answer.disputed.case})", "magenta"))
        dispute.add(Text(f"as applied: {_words(answer.disputed.as_applied)}"))
        dispute.add(Text(f"other reading: {_words(answer.disputed.other_reading)}"))
    return top


def _duty(duty: CompiledDuty, case: Case, law: Law, jurisdiction: str, at: datetime) -> Shown:
    day = law.local_date(jurisdiction, case.encounter_at)
    facts = DutyFacts(
        subject=case.facts,
        encounter_at=case.encounter_at,
        discovered_at=case.discovered_at,
        as_of=at,
        jurisdiction=jurisdiction,
    )
    decision = _decision(duty, facts, law)
    known = known_facts(case.facts, law, encounter_on=day, as_of=day)
    certain = known_facts(case.facts, law, encounter_on=day, as_of=day, presume=False)
    reported = reported_facts(case.facts, law, encounter_on=day, as_of=day)
    on = Evaluation(known, day, engine(law).plan(jurisdiction).of_duties(known, day))
    told = _Told(case.facts, law, known, frozenset(reported), frozenset(known) - frozenset(certain))
    top = Shown(Text(f"{duty.spec.title} ({duty.spec.id}): {_words(decision.outcome)}", "bold"))
    top.add(Text(f"{_release(law)}; ages and versions count on the day of the encounter, {day}"))
    if not duty.spec.citation_verified:
        top.add(Text(_NOT_VERIFIED.format("the citation was not seen in the text that is in force"), "magenta"))
    if duty.spec.note:
        top.add(Text(f"note: {duty.spec.note}"))
    top.add(Text(f"owed by: {duty.spec.duty_holder}; set off by: {duty.spec.trigger}"))
    _listed(top, "because of", map(_words, decision.basis))
    _listed(top, "flags", map(_words, decision.flags))
    if decision.outcome != "not_due":
        names = {one.id: one.name for one in law.directory.recipients(day)}
        recipient = decision.recipient_id or "nobody that could be found"
        name = names.get(recipient, _words(decision.recipient_role))
        top.add(Text(f"to {name} ({recipient}), by {_CHANNELS[decision.channel]}"))
        top.add(Text(f"clock: {_clock(duty.spec.clock, decision)}; whoever has to act: {_words(decision.owner)}"))
    version = duty.version_on(day)
    if version is None:
        return top
    shown = _version(top, version.spec.effective, version.spec.cite)
    missing: dict[str, None] = {}
    before = tuple(takewhile(lambda rule: rule.when.truth(on) is not Truth.TRUE, version.rules))
    applied = version.rules[len(before)]
    explained_by = tuple(rule.when for rule in before) if applied.spec.when is None else (applied.when,)
    for number, rule in enumerate((*before, applied), 1):
        truth = rule.when.truth(on)
        label = f"rule {number}, {_words(rule.spec.outcome)} if"
        if rule.spec.when is None:
            label = f"rule {number}, otherwise {_words(rule.spec.outcome)}"
        applies = rule is applied
        branch = shown.add(Text(label + (": this one applies" if applies else ""), "bold" if applies else ""))
        if rule.spec.when is not None:
            _condition(branch.add, rule.when, on, told, decides=rule.when in explained_by)
        if truth is Truth.UNKNOWN:
            missing |= dict.fromkeys(fact for leaf in rule.when.deciding(on) for fact in leaf.facts)
    contradictory = contradictions(reported, known, law, day)
    lacking = (fact for fact in missing if not law.facts[fact].computed and fact not in contradictory)
    asked = dict.fromkeys(law.facts[fact].ask or fact for fact in lacking)
    _listed(top, "decided by", map(told.reason, reasons(explained_by, on)))
    _excluded(top, {fact: contradictory[fact] for fact in decision.contradicted})
    doubted = FACTS_CONTRADICT in decision.basis
    if doubted:
        top.add(Text("that rule says not due; it would not, were another one of these facts the wrong one", "red"))
    review = decision.outcome == "review" and not doubted
    open_still = "to ask" if review else "not known; once it is, a rule before this one could decide"
    _listed(top, open_still, map(told.missing, asked))
    outcome, gaps = settling(version, on)
    if outcome == "review":
        _listed(top, _SETTLES, map(_together, gaps.to_settle))
    if COUNTY_UNRESOLVED in decision.basis:
        top.add(Text("to ask: the county of the encounter, which says whom to tell"))
    if decision.review_after is not None:
        later = _decision(duty, replace(facts, review_expired=True), law)
        why = ", ".join(map(_words, later.basis))
        top.add(
            Text(f"if nobody settles it within {decision.review_after}: {_words(later.outcome)} ({why})", "magenta")
        )
    return top


def _decision(duty: CompiledDuty, facts: DutyFacts, law: Law) -> Decision:
    return next(one for one in decide(facts, law, all_duties=True) if one.duty_id == duty.spec.id)


def _clock(clock: Clock | None, decision: Decision) -> str:
    """As the law has it; the operator's own target is told as such."""
    assert clock is not None, "a standing duty is never decided"
    if decision.due_at is not None:
        unit = {"hours": "hours", "days": "days", "business_days": "business days"}[clock.kind]
        told = f"within {clock.limit} {unit} of {clock.starts}, until {decision.due_at.isoformat(' ', 'minutes')}"
    else:
        told = {"asap": "as soon as possible", "immediate": "immediately"}[clock.kind] + ", the law gives no number"
    if decision.target_at is None:
        return told
    return f"{told} (the operator's own target, which is no law: {decision.target_at.isoformat(' ', 'minutes')})"


def _release(law: Law) -> str:
    return f"law {law.version} (digest {law.digest[:12]})"


def _version(top: Shown, period: Period, citations: Iterable[str]) -> Shown:
    until = f" until {period.until}, that day not included" if period.until else ", no end set"
    shown = top.add(Text(f"version in force from {period.from_}{until}"))
    _listed(shown, "cites", citations)
    return shown


@dataclass(frozen=True, slots=True)
class _Told:
    """What is known, in words that keep apart what was reported, follows from that, is only presumed, was refused, is
    not known though asked, and was never asked."""

    facts: SubjectFacts
    law: Law
    known: FactMap
    reported: frozenset[str]
    presumed: frozenset[str] = frozenset()

    def standing(self, fact: str) -> str:
        return _STANDINGS[standing(fact, self.known, not_answered(self.facts))]

    def missing(self, fact: str) -> str:
        return f"{fact} ({self.standing(fact)}): {self.law.facts[fact].question}"

    def value(self, one: Reason, facts: Iterable[str]) -> str:
        if one.value is None:
            return ", ".join(dict.fromkeys(self.standing(fact) for fact in facts))
        if one.fact in contradicted(self.known, engine(self.law).contradictable):
            return "contradicted"
        how = "reported" if one.fact in self.reported else "presumed" if one.fact in self.presumed else "follows"
        return f"{how}: {said(one.fact, one.value)}"

    def comparison(self, leaf: Leaf, on: Evaluation) -> str:
        one = reason(leaf, on)
        return f"{_compared(one)}{_amount(leaf, on)} ({self.value(one, leaf.facts)})"

    def reason(self, one: Reason) -> str:
        outcome = {True: "met", False: "not met", None: "open"}[one.holds]
        return f"{outcome}: {_compared(one)} ({self.value(one, (one.fact,))})"


def _compared(one: Reason) -> str:
    return compared(one.fact, one.operator, one.threshold)


def _amount(leaf: Leaf, on: Evaluation) -> str:
    """What a table has for this household, if its size is known."""
    if not isinstance(leaf, TableLeaf):
        return ""
    least, greatest = leaf.lookup.bounds(on.facts.get(leaf.lookup.of), on.as_of)
    return f", here {said(leaf.fact, least)}" if least is not None and least == greatest else ""


def _together(facts: Iterable[str]) -> str:
    return " and ".join(facts)


def _condition(add: Callable[[Text], Shown], tree: Tree, on: Evaluation, told: _Told, *, decides: bool = True) -> None:
    """A branch for each part. A part decides if its truth made the whole what it is; a leaf that does is marked."""
    word, style = _MARKS[tree.truth(on)]
    if isinstance(tree, Leaf):
        mark = "  <- decides" if decides else ""
        add(Text(f"{word}: {told.comparison(tree, on)}{mark}", style))
        return
    if isinstance(tree, (AllTree, AnyTree)) and len(tree.children) == 1:
        _condition(add, tree.children[0], on, told, decides=decides)
        return
    branch = add(Text(f"{word}: {_joined(tree)}", style))
    for child in tree.children:
        same = isinstance(tree, NotTree) or child.truth(on) == tree.truth(on)
        _condition(branch.add, child, on, told, decides=decides and same)


def _joined(tree: Tree) -> str:
    match tree:
        case AllTree():
            return "all of" if tree.children else "always"
        case AnyTree():
            return "any of" if tree.children else "never"
        case NotTree():
            return "it is not so that"
        case AtLeastTree():
            return f"at least {tree.count} of"
    raise AssertionError(type(tree))


def _listed(top: Shown, title: str, lines: Iterable[str]) -> None:
    found = list(lines)
    if found:
        branch = top.add(Text(title))
        for line in found:
            branch.add(Text(line))


def _excluded(top: Shown, found: Contradictions) -> None:
    """Facts that exclude each other: the one thing in an answer that cannot be settled by asking for more."""
    for fact, between in found.items():
        branch = top.add(Text(f"contradicted: {fact}, because {_together(between)} exclude each other", "red"))
        branch.add(Text("no further fact settles this: correct the one that is wrong, by an amendment"))


def _unknown(rule: str, law: Law, here: list[str], jurisdiction: str) -> ConfigurationError:
    if any(duty.spec.id == rule and duty.spec.clock is None for duty in law.duties):
        return ConfigurationError(f"{rule} is a standing duty: no encounter sets it off, so nothing decides it")
    elsewhere = {program.spec.id: program.spec.jurisdiction for program in law.programs}
    elsewhere |= {duty.spec.id: duty.spec.jurisdiction for duty in law.duties}
    if rule in elsewhere:
        return ConfigurationError(f"{rule} is not law in {jurisdiction}; add --jurisdiction {elsewhere[rule]}")
    lower = {name.lower(): name for name in here}
    near = get_close_matches(rule.lower(), lower, n=5, cutoff=0.4)
    close = _either(lower[name] for name in near) if near else "an id of law/programs or law/duties"
    return ConfigurationError(f"there is no program or duty {rule}; write {close}")


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)


def _words(code: str) -> str:
    return code.replace("_", " ")
