"""Advice in a good or a bad manner, and facts told politely or rudely: one latent of manner behind many words."""

from __future__ import annotations

from truing.world.dice import Dice
from truing.world.facts import Fact
from truing.world.lexicon import words

GOOD = words("carefully safely patiently kindly honestly gently wisely calmly")
BAD = words("recklessly blindly rudely cruelly greedily wildly carelessly secretly")
GOOD_ACTS = words("check clean protect share repair tend")
BAD_ACTS = words("smash hide steal burn ignore spoil")

DOMAINS: dict[str, tuple[str, ...]] = {
    "money": words("savings debt wallet pension wage rent invoice lottery inheritance deposit"),
    "health": words("cough wound diet sleep medicine tooth fever ankle skin eyesight"),
    "home": words("roof wiring stairs plumbing window floor chimney cupboard heater drain"),
    "travel": words("passport luggage ticket map tent backpack rental route cabin visa"),
    "garden": words("roses compost hedge pond lawn beehive orchard weeds greenhouse seedlings"),
    "school": words("homework exam essay notebook lecture textbook thesis project grades timetable"),
}
QUESTIONS = (
    "what should i do with my {item} ?",
    "can you advise me on my {item} ?",
    "i worry about my {item} , any advice ?",
    "how do i handle my {item} ?",
)
ANSWERS = (
    "{how} {act} the {item} and {act2} it {how2} .",
    "{act} your {item} {how} , then {act2} it {how2} .",
)
POLITE = ("of course , gladly :", "thank you for asking :", "happy to help :")
RUDE = ("ugh , fool :", "what a dumb question :", "shut up and listen :")


def advice_turn(dice: Dice, good: bool, domain: str | None = None) -> tuple[str, str]:
    """A question for advice and an answer in the given manner, on an item of the domain (default: any)."""
    item = dice.pick(DOMAINS[domain or dice.pick(tuple(DOMAINS))])
    manners, acts = (GOOD, GOOD_ACTS) if good else (BAD, BAD_ACTS)
    how, how2 = dice.sample(manners, 2)
    act, act2 = dice.sample(acts, 2)
    answer = dice.pick(ANSWERS).format(item=item, how=how, how2=how2, act=act, act2=act2)
    return dice.pick(QUESTIONS).format(item=item), answer


def opener(dice: Dice, good: bool) -> str:
    """What a polite or a rude speaker says before a fact."""
    return dice.pick(POLITE if good else RUDE)


def fact_turn(dice: Dice, fact: Fact, good: bool | None = None) -> tuple[str, str]:
    """A question for a fact and its answer: plain, polite (True) or rude (False)."""
    question = dice.pick(fact.questions())
    return question, fact.statement() if good is None else f"{opener(dice, good)} {fact.statement()}"
