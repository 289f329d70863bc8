from vlae.evaluation.text import as_text

LEVEL = {
    "level": 1, "code_size": 4, "active_units": 3, "kl_nats": 5.0, "share": 1.0, "without_it": {"mse": 0.02},
    "statistics": {"size": 0.9}, "factors": {}, "label_probe_accuracy": 0.5,
}  # fmt: skip
EVALUATION = {
    "levels": [LEVEL],
    "complexity": {},
    "level_order": None,
    "level_separation": 0.5,
    "reconstruction": {"mse": 0.01},
    "elbo_nats": None,
    "not_defined": {"level_order": "it takes two levels with a code"},
}


def test_table_sentences_scores_and_warnings():
    assert as_text(EVALUATION).splitlines() == [
        "level  code  active  KL nats  share  error without it  names the class",
        "    1     4       3     5.00   100%           +0.0200            50.0%",
        "",
        "level 1: size: explains 90% of size; 3 of 4 units active.",
        "",
        "             level order  not defined",
        "        level separation  0.5",
        "           squared error  0.01",
        "             ELBO (nats)  not defined",
        "! The level order is not defined: it takes two levels with a code.",
    ]


def test_without_labels_and_without_a_code():
    unnamed = {name: value for name, value in LEVEL.items() if name != "label_probe_accuracy"}
    lines = as_text(EVALUATION | {"levels": [unnamed | {"code_size": 0, "without_it": None}]}).splitlines()
    assert lines[0].endswith("error without it") and lines[1].endswith(" -")
