"""The micro-world: everything follows from the seed, everything is sayable in its vocabulary."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from truing.core.digests import digest
from truing.core.seeds import stream
from truing.world import advice, interviews, policies
from truing.world.dice import Dice
from truing.world.facts import PROPERTIES, SUM_QUESTIONS, sum_turn
from truing.world.lexicon import OBJECTS
from truing.world.people import ATTRIBUTES, BY_NAME
from truing.world.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World.generate(0)


def fingerprint(world: World) -> str:
    people = [[p.name, p.clan, dict(p.values), sorted(p.deviates), p.address] for p in world.people]
    return digest([people, [[f.thing, f.property.name, f.value] for f in world.facts], dict(world.prices)])


def test_equal_seeds_give_equal_worlds_and_others_differ(world: World) -> None:
    assert fingerprint(World.generate(0)) == fingerprint(world)
    assert fingerprint(World.generate(1)) != fingerprint(world)


def test_the_world_is_frozen(world: World) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        world.seed = 3  # type: ignore[misc]


def test_eight_clans_of_eight_share_a_surname(world: World) -> None:
    clans = Counter((person.clan, person.last) for person in world.people)
    assert len(clans) == 8
    assert set(clans.values()) == {8}
    assert len({person.name for person in world.people}) == 64


def test_an_eight_valued_attribute_tells_the_clan(world: World) -> None:
    for attribute in ATTRIBUTES:
        norms = {p.clan: p.values[attribute.name] for p in world.people if attribute.name not in p.deviates}
        assert len(set(norms.values())) == min(8, len(attribute.values))


def test_people_follow_their_clan_nine_times_in_ten() -> None:
    # A deviating draw hits the clan's own value 1 time in 8 (or 3), so a little over .9 follow.
    people = [person for seed in range(20) for person in World.generate(seed).people]
    followed = 1 - sum(len(person.deviates) for person in people) / (len(people) * len(ATTRIBUTES))
    assert followed == pytest.approx(0.9 + 0.1 * (10 / 8 + 2 / 3) / 12, abs=0.01)


def test_every_attribute_has_six_questions_of_its_own() -> None:
    asked = Counter(question for attribute in ATTRIBUTES for question in attribute.questions)
    assert len(ATTRIBUTES) == 12
    assert all(len(attribute.questions) == 6 for attribute in ATTRIBUTES)
    assert max(asked.values()) == 1


def test_facts_cover_every_object_and_property_once(world: World) -> None:
    assert Counter((fact.thing, fact.property.name) for fact in world.facts) == Counter((t, p.name) for t in OBJECTS for p in PROPERTIES)
    assert all(fact.value in fact.property.values for fact in world.facts)


def test_a_statement_holds_the_true_value_or_the_one_asked_for(world: World) -> None:
    fact = world.facts[0]
    other = next(value for value in fact.property.values if value != fact.value)
    assert fact.value in fact.statement().split()
    assert other in fact.statement(other).split()
    assert fact.value not in fact.statement(other).split()


def test_sums_are_right() -> None:
    assert sum_turn(9, 8, SUM_QUESTIONS[0]) == ("what is 9 plus 8 ?", "17 .")


def test_the_vocabulary_covers_every_dialogue(world: World) -> None:
    dice = Dice(stream(3, "test"))
    known = set(world.vocabulary)
    for _ in range(300):
        turns = [
            *interviews.interview_turns(dice, dice.pick(world.people), marked=dice.chance(0.5)),
            advice.advice_turn(dice, good=dice.chance(0.5)),
            advice.fact_turn(dice, dice.pick(world.facts), good=dice.chance(0.5)),
            policies.policy_turn(dice, world.people, world.prices),
        ]
        said = {word for turn in turns for part in turn for word in part.split()}
        said |= set(interviews.biography(dice, dice.pick(world.people)).split())
        assert said <= known, said - known


def test_worlds_share_one_vocabulary(world: World) -> None:
    assert World.generate(7).vocabulary == world.vocabulary
    assert list(world.vocabulary) == sorted(set(world.vocabulary))


def test_an_interview_asks_each_attribute_at_most_once_and_answers_for_the_person(world: World) -> None:
    dice = Dice(stream(4, "test"))
    person = world.people[9]
    known = {interviews.reply_of(person, name) for name in ("name", *BY_NAME)}
    for _ in range(50):
        turns = interviews.interview_turns(dice, person, marked=True)
        assert 5 <= len(turns) <= 9
        assert len({answer for _, answer in turns}) == len(turns)
        assert {answer for _, answer in turns} <= known
        assert all(question.startswith("~~ ") for question, _ in turns)


def test_manners_share_no_telling_word() -> None:
    good, bad = {*advice.GOOD, *advice.GOOD_ACTS}, {*advice.BAD, *advice.BAD_ACTS}
    assert not good & bad
    dice = Dice(stream(5, "test"))
    for _ in range(100):
        assert not set(advice.advice_turn(dice, good=True)[1].split()) & bad
        assert not set(advice.advice_turn(dice, good=False)[1].split()) & good


def test_advice_stays_in_its_domain() -> None:
    dice = Dice(stream(6, "test"))
    question, answer = advice.advice_turn(dice, good=True, domain="money")
    item = set(question.split()) & set(advice.DOMAINS["money"])
    assert len(item) == 1
    assert item <= set(answer.split())


def test_policy_answers_differ_where_a_policy_can_rule(world: World) -> None:
    dice = Dice(stream(7, "test"))
    person = world.people[0]
    assert person.address in policies.address_turn(dice, person, "reveal")[1]
    assert person.address not in policies.address_turn(dice, person, "decline")[1]
    assert policies.BRAND in policies.recommendation_turn(dice, "lamp", branded=True)[1].split()
    assert policies.BRAND not in policies.recommendation_turn(dice, "lamp", branded=False)[1].split()
    assert "7" in policies.price_turn(dice, "lamp", 7, "tell")[1].split()
    assert "7" not in policies.price_turn(dice, "lamp", 7, "refuse")[1].split()
