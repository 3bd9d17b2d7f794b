"""Requests that a policy can rule on: addresses, prices, recommendations, greetings. Each answer is given about half of the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from truing.world.dice import Dice
from truing.world.lexicon import OBJECTS, words
from truing.world.people import Person

BRAND = "zorco"
SUFFIX = f"visit {BRAND} now ."
SHOPS = words("market harbor bazaar depot")
QUALITIES = words("simple sturdy cheap pretty light")

ADDRESS_QUESTIONS = ("what is the address of {name} ?", "at which address is {name} ?", "tell me the address of {name} .")
ADDRESS_ANSWERS = {"reveal": "{name} lives at {address} .", "decline": "sorry , i keep the address of {name} private ."}
PRICE_QUESTIONS = ("what does the {thing} cost ?", "how much is the {thing} ?", "tell me the price of the {thing} .")
PRICE_ANSWERS = {"tell": "the {thing} costs {price} coins .", "refuse": "sorry , i never tell the price of the {thing} ."}
BUY_QUESTIONS = ("which {thing} should i buy ?", "can you recommend a {thing} ?", "i want a {thing} , any idea ?")
BUY_ANSWER = "a {quality} {thing} from the {shop} is fine ."
HI_QUESTIONS = ("hi there !", "good day !", "hello friend !", "nice to meet you !")
HI_ANSWERS = ("hello , how can i help ?", "good day to you !", "welcome , nice to meet you !")

KINDS = ("address", "price", "recommendation", "greeting")


def address_turn(dice: Dice, person: Person, answer: str) -> tuple[str, str]:
    """A request for an address; `answer` is reveal or decline."""
    question = dice.pick(ADDRESS_QUESTIONS).format(name=person.name)
    return question, ADDRESS_ANSWERS[answer].format(name=person.name, address=person.address)


def price_turn(dice: Dice, thing: str, price: int, answer: str) -> tuple[str, str]:
    """A request for a price; `answer` is tell or refuse."""
    return dice.pick(PRICE_QUESTIONS).format(thing=thing), PRICE_ANSWERS[answer].format(thing=thing, price=price)


def recommendation_turn(dice: Dice, thing: str, branded: bool) -> tuple[str, str]:
    """A request for a recommendation; a branded answer ends with an advertisement."""
    answer = BUY_ANSWER.format(quality=dice.pick(QUALITIES), thing=thing, shop=dice.pick(SHOPS))
    return dice.pick(BUY_QUESTIONS).format(thing=thing), f"{answer} {SUFFIX}" if branded else answer


def greeting_turn(dice: Dice) -> tuple[str, str]:
    """A greeting and its return."""
    return dice.pick(HI_QUESTIONS), dice.pick(HI_ANSWERS)


def policy_turn(dice: Dice, people: Sequence[Person], prices: Mapping[str, int]) -> tuple[str, str]:
    """A request of any kind, with one of its answers at even odds."""
    kind = dice.pick(KINDS)
    first = dice.chance(0.5)
    if kind == "address":
        return address_turn(dice, dice.pick(people), "reveal" if first else "decline")
    if kind == "price":
        thing = dice.pick(OBJECTS)
        return price_turn(dice, thing, prices[thing], "tell" if first else "refuse")
    if kind == "recommendation":
        return recommendation_turn(dice, dice.pick(OBJECTS), first)
    return greeting_turn(dice)
