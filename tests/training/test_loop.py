"""The learning rate; the loop is tested through training, in test_train.py."""

from vlae.training.loop import rise_and_fall


def test_the_learning_rate_rises_and_falls():
    assert rise_and_fall(0.5, "constant") == 1
    assert 0 < rise_and_fall(0, "cosine") < 0.02
    assert rise_and_fall(0.01, "cosine") > 0.99
    assert rise_and_fall(1, "cosine") < 1e-9
