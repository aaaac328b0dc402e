"""The messages of customers, as plain data: openings, things that happened, and endings."""

from __future__ import annotations

TOPICS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "billing": (
        (
            "the amount on my invoice is too high",
            "my card was charged twice this month",
            "the discount is missing from the bill",
            "I paid last week and still got a reminder",
            "my bank shows a fee that nobody explained",
            "the tax on the receipt looks wrong",
            "I need a copy of the invoice for my records",
            "the direct debit failed although there was money",
        ),
        ("invoice", "payment", "fee", "receipt", "bank", "discount"),
    ),
    "delivery": (
        (
            "the parcel should have been here on Monday",
            "the courier left the box with a neighbour",
            "tracking has not moved for four days",
            "my order went to an old address",
            "the driver rang and was gone at once",
            "half of the shipment never arrived",
            "the package is still at the depot",
            "I would like to change the delivery date",
        ),
        ("parcel", "courier", "tracking", "depot", "shipment", "driver"),
    ),
    "returns": (
        (
            "the jacket is too small and I want another size",
            "the colour is not the one in the picture",
            "it does not suit me and I would send it back",
            "please take these shoes back",
            "I ordered two to choose from and keep one",
            "where is the label for sending it back",
            "I changed my mind about the curtains",
            "the gift was the wrong one and I want to exchange it",
        ),
        ("exchange", "size", "label", "colour", "gift", "shoes"),
    ),
    "technical": (
        (
            "the screen stays black after the update",
            "the app closes as soon as I open it",
            "the battery is empty after an hour",
            "it does not connect to the network any more",
            "the speaker makes a scratching noise",
            "I cannot find the setting for the timer",
            "the password reset leads to an error",
            "the new version forgets what I typed",
        ),
        ("screen", "update", "battery", "error", "network", "password"),
    ),
}
"""Class -> (what happened, words that point to the class)."""

VAGUE = (
    "something went wrong with what I bought",
    "this is the second time that I write about it",
    "I am not happy with how this was handled",
    "nobody answered when I called about my order",
    "can somebody have a look at my case",
    "I have a question about my last purchase",
    "it is still not settled and I am waiting",
    "what you promised on the phone did not happen",
)
"""Says nothing about the class."""

ASIDES = (
    "and the {} was a problem too",
    "although the {} was fine the last time",
    "and I am not writing about the {}",
    "after all that trouble with the {}",
    "and please do not ask me about the {} again",
)
"""Mentions a word that may belong to another class."""

OPENINGS = (
    "hello",
    "good morning",
    "hi there",
    "dear team",
    "to whom it may concern",
    "good evening",
    "once more",
    "",
)

CLOSINGS = ("thank you", "please help", "best regards", "waiting for an answer", "thanks in advance", "")

SIGNATURES = ("mail", "web", "tablet", "desktop")
"""Where messages are sent from; the planted token is one more of them."""

PLANTED = "fonar"
"""A make of telephone that does not exist; its mail program signs every message."""

SENT = "sent from my {}"
