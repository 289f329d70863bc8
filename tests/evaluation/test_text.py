from vlae.evaluation.text import LIKELIHOOD_CAUTION, as_text

LEVEL = {
    "level": 1, "code_size": 4, "active_units": 3, "kl_nats": 5.0, "share": 1.0, "without_it": {"mse": 0.02},
    "statistics": {"size": 0.9}, "factors": {}, "label_probe_accuracy": 0.5,
}  # fmt: skip
EVALUATION = {
    "levels": [LEVEL],
    "complexity": {},
    "told": 0.9,
    "level_order": None,
    "level_separation": 0.5,
    "level_separation_interval": [0.4, 0.6],
    "level_separation_untrained": 0.1,
    "level_separation_components": 0.0,
    "pictures": {
        "frechet": {"real": 1.0, "samples": 20.5, "reconstructions": 2.0, "swapped": None},
        "two_sample": {"real": 0.5, "samples": 0.8, "reconstructions": 0.6, "swapped": None},
        "sharpness": {"real": None, "samples": 0.345, "reconstructions": None, "swapped": None},
    },
    "reconstruction": {"mse": 0.01},
    "elbo_nats": None,
    "not_defined": {"level_order": "it takes two levels with a code"},
}


def test_the_commonest_class_stands_beside_accuracies():
    assert "the commonest class has  98.0% of the labels" in as_text(EVALUATION | {"label_commonest": 0.98})
    assert "commonest" not in as_text(EVALUATION)


def test_table_sentences_scores_and_warnings():
    assert as_text(EVALUATION).splitlines() == [
        "level  code  active  KL nats  share  error without it  names the class",
        "    1     4       3     5.00   100%           +0.0200            50.0%",
        "",
        "level 1: size: explains 90% of size; 3 of 4 units active.",
        "",
        "                    told  0.90",
        "             level order  not defined",
        "        level separation  0.50 (0.40 to 0.60); untrained 0.10; principal components 0.00",
        "           squared error  0.01",
        "             ELBO (nats)  not defined",
        "               real data  Fréchet distance 1, told from real 50%",
        "      drawn from N(0, I)  Fréchet distance 20.5, told from real 80%, sharpness × 0.34",
        "         reconstructions  Fréchet distance 2, told from real 60%",
        "! The level order is not defined: it takes two levels with a code.",
    ]


def test_the_caution_stands_beside_a_likelihood_and_nowhere_else():
    lines = as_text(EVALUATION | {"elbo_nats": 12.5, "bits_per_dimension": 3.25}).splitlines()
    assert "ELBO (nats)  12.5" in map(str.strip, lines) and "bits per dimension  3.25" in map(str.strip, lines)
    assert lines.count(LIKELIHOOD_CAUTION) == 1 and "Theis et al. 2015" in LIKELIHOOD_CAUTION
    assert LIKELIHOOD_CAUTION not in as_text(EVALUATION), "without a density there is nothing to be cautious of"


def test_samples_are_named_after_what_they_are_drawn_from():
    measured = {
        "frechet": {"real": None, "samples": 2.5, "samples_standard": 20.5},
        "two_sample": {"real": None, "samples": 0.6, "samples_standard": 0.9},
    }
    lines = as_text(EVALUATION | {"pictures": measured | {"prior": "a mixture of 20 Gaussians"}}).splitlines()
    assert "drawn from a mixture of 20 Gaussians  Fréchet distance 2.5, told from real 60%" in map(str.strip, lines)
    assert "drawn from N(0, I)  Fréchet distance 20.5, told from real 90%" in map(str.strip, lines)
    assert len({line.index("Fréchet") for line in lines if "Fréchet" in line}) == 1, "the numbers stand in a column"


def test_without_labels_and_without_a_code():
    unnamed = {name: value for name, value in LEVEL.items() if name != "label_probe_accuracy"}
    lines = as_text(EVALUATION | {"levels": [unnamed | {"code_size": 0, "without_it": None}]}).splitlines()
    assert lines[0].endswith("error without it") and lines[1].endswith(" -")
