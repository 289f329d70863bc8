"""What the words of the report mean."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word and what it means, in plain words.

    Attributes:
        key: by which links name it.
        name: the word.
        meaning: one to three sentences.
    """

    key: str
    name: str
    meaning: str


TERMS = (
    Term("level", "level", "One part of the model's description of a datum. Level 1 is nearest the data and should "
         "hold what is simple, such as brightness; the highest level holds what is hardest to compute."),
    Term("code", "code", "The numbers by which one level describes a datum. A level without a code holds nothing."),
    Term("dimension", "dimension", "One number of a code. Its low end and its high end are 2 standard deviations below "
         "and above its mean."),
    Term("posterior", "posterior", "What the model thinks the code of one datum is: a mean and an uncertainty for each "
         "dimension. The mean is what vlae encode writes."),
    Term("prior", "prior", "The distribution that codes are drawn from to make new data. N(0, I), independent bell "
         "curves, is the one of the training; the fitted one follows the codes of the training data."),
    Term("rate", "KL, or rate", "What a level's code costs: how far its posterior is from its prior, in nats. A level "
         "of about 0 nats says nothing of the data; one of more nats says more."),
    Term("nat", "nat", "The unit of information of the natural logarithm: 1 nat is 1.44 bits. A code of 7 nats tells "
         "about 1,000 data apart."),
    Term("active", "active unit", "A dimension whose mean differs from datum to datum. One that is not active is not "
         "used."),
    Term("reconstruction", "reconstruction", "A datum drawn again from its own codes. What is missing in it, the codes "
         "do not hold."),
    Term("distortion", "distortion", "What is lost when a datum is drawn again from its codes, in nats. Lower is "
         "better; it may be below 0."),
    Term("elbo", "ELBO", "The evidence lower bound: minus distortion minus rates. It is what training raises, and at "
         "most the logarithm of the likelihood that the model gives the data."),
    Term("held-out", "held-out data", "Data that were kept aside and never trained on, so that numbers on them are "
         "honest."),
    Term("probe", "probe", "A small classifier or regression that tries to read one fact, such as the brightness, from "
         "one level's code. If it can, the level holds that fact."),
    Term("told", "told", "How well the facts can be read from the level that tells each best: 1 is all, 0 is nothing."),
    Term("order", "level order", "Whether simple facts stand in lower levels than complex ones: 1 is perfect, 0 is no "
         "order, -1 is upside-down."),
    Term("separation", "level separation", "Whether each fact stands in one level alone: 1 is yes, 0 is spread evenly "
         "over all."),
    Term("complexity", "complexity", "How large a probe must be to read a fact from the data themselves: 0 is simple, "
         "1 is complex."),
    Term("frechet", "Fréchet distance", "How far a group of drawn data is from real data, by the means and spreads of "
         "their features. Compare it with that of real data; lower is better."),
    Term("real", "told from real", "How often a classifier tells drawn data from real ones: 50 % is never, 100 % is "
         "always."),
    Term("mesh", "mesh", "How strong a regular pattern is that some networks leave in pictures, in times of that of "
         "real ones: 1 is none."),
    Term("sharpness", "sharpness", "The power of fine detail, in times of that of real pictures: 1 is as sharp, less "
         "is blurred."),
    Term("r2", "R²", "The share of the variation that is explained: 1 is all, 0 is nothing."),
    Term("psnr", "PSNR", "How like the original a reconstruction is, in decibels. 20 is coarse, 30 is good."),
)  # fmt: skip
"""All words that the report links to."""

OF_PICTURES = ("mesh", "sharpness", "psnr")
"""The keys of the terms that do not go with rows of a table."""
