"""A ladder in scikit-learn: a transformer, and a classifier that learns from few labels."""

from vlae.estimators.classifier import LadderClassifier as LadderClassifier
from vlae.estimators.encoder import LadderEncoder as LadderEncoder
