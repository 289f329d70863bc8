import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import mutual_info_score

from vlae.errors import NotDefinedError
from vlae.evaluation import metrics
from vlae.evaluation.information import normalised_mutual_information

ROWS = 1_000


def noise(columns, seed=1):
    return np.random.default_rng(seed).normal(size=(ROWS, columns))


def rotated(codes):
    """Every dimension mixed with every other."""
    q = np.linalg.qr(np.random.default_rng(2).normal(size=(codes.shape[1],) * 2))[0]
    return codes @ q


def mig_sampled(codes, factors, **settings):
    return metrics.mig_sampled(codes, np.full(codes.shape, 0.02), factors, **settings)


MEASURES = {
    "mig": metrics.mig,
    "mig_sampled": mig_sampled,
    "mig_sup": metrics.mig_sup,
    "disentanglement": lambda codes, factors: metrics.dci(codes, factors).disentanglement,
    "completeness": lambda codes, factors: metrics.dci(codes, factors).completeness,
    "informativeness": lambda codes, factors: metrics.dci(codes, factors).informativeness,
    "sap": metrics.sap,
    "modularity": metrics.modularity,
    "factor_vae_score": metrics.factor_vae_score,
    "beta_vae_score": metrics.beta_vae_score,
}
CHANCE = {"factor_vae_score": 1 / 5, "beta_vae_score": 1 / 5}
GAPS = ("mig", "mig_sampled", "sap")
every = pytest.mark.parametrize("name", MEASURES)


@every
def test_the_truth_scores_one(name, truth, factors):
    assert MEASURES[name](truth, factors) > 0.88


@every
def test_a_constant_scores_nothing(name, factors):
    assert MEASURES[name](np.zeros((ROWS, 3)), factors) <= CHANCE.get(name, 0) + 0.08


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"modularity"}))  # noise may happen to know one factor best
def test_noise_scores_nothing(name, factors):
    assert MEASURES[name](noise(6), factors) < CHANCE.get(name, 0) + 0.08


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"informativeness", "beta_vae_score"}))
def test_rotated_codes_score_less(name, truth, factors):
    assert MEASURES[name](rotated(truth), factors) < MEASURES[name](truth, factors) - 0.1


@every
def test_duplicated_codes(name, truth, factors):
    """Two dimensions for each factor close the gap between the best two, and are as disentangled as before."""
    twice = MEASURES[name](np.hstack([truth, truth]), factors)
    if name in GAPS:
        assert twice < 0.02
    elif name == "completeness":
        assert twice < 0.95 < MEASURES[name](truth, factors)
    else:
        assert twice > 0.88


@every
def test_order_and_sign_of_codes_do_not_matter(name, truth, factors):
    codes = truth + 0.3 * noise(5)
    other = codes[:, [3, 1, 4, 0, 2]] * [-1, 1, -1, 1, 1]
    tolerance = (
        1e-9 if name in ("mig", "mig_sup", "modularity") else 0.03
    )  # binned from below, from above; forests draw
    tolerance = max(tolerance, 0.005)
    assert MEASURES[name](other, factors) == pytest.approx(MEASURES[name](codes, factors), abs=tolerance)


@every
def test_order_of_factors_does_not_matter(name, truth, factors):
    codes = truth + 0.3 * noise(5)
    turned = dict(reversed(factors.items()))
    assert MEASURES[name](codes, turned) == pytest.approx(MEASURES[name](codes, factors), abs=0.04)


@every
def test_seeded_and_in_range(name, truth, factors):
    codes = truth + 0.5 * noise(5)
    value = MEASURES[name](codes, factors)
    assert 0 <= value <= 1 and isinstance(value, float)
    assert MEASURES[name](codes, factors) == value


def test_another_seed_is_another_draw(truth, factors):
    codes = truth + noise(5)
    for measure in (mig_sampled, metrics.dci, metrics.factor_vae_score, metrics.beta_vae_score):
        assert measure(codes, factors, seed=1) != measure(codes, factors, seed=2)


@every
@pytest.mark.parametrize(("dimensions", "number"), [(1, 2), (1, 5), (2, 5), (9, 2), (24, 3)])
def test_any_number_of_dimensions_and_factors(name, dimensions, number, factors):
    some = dict(list(factors.items())[-number:])
    codes = np.column_stack([noise(dimensions), np.zeros(ROWS)])
    codes[:, 0] = next(iter(some.values()))
    assert np.isfinite(MEASURES[name](codes[:, :dimensions], some))


# Worked out by hand, or by others


def two_by_two():
    """40 rows: z_1 tells a in full; z_2 tells a in 3 of 4 rows; b is independent of both."""
    a = np.repeat([0, 1], 20)
    b = np.tile([0, 1], 20)
    z2 = np.concatenate([np.repeat([0, 1], [15, 5]), np.repeat([0, 1], [5, 15])])
    order = np.argsort(np.tile(np.arange(5), 8), kind="stable")  # so that b does not follow z_2
    return np.column_stack([a, z2]).astype(float), {"a": a, "b": b}, order


def test_mig_by_hand():
    codes, factors, _ = two_by_two()
    h = np.log(2)
    weak = h + 0.75 * np.log(0.75) + 0.25 * np.log(0.25)  # I(z_2; a)
    b_gap = abs(mutual_info_score(codes[:, 0], factors["b"]) - mutual_info_score(codes[:, 1], factors["b"]))
    assert metrics.mig(codes, factors) == pytest.approx(((h - weak) / h + b_gap / h) / 2)
    # The other way: each dimension knows a, and b hardly.
    told_b = [mutual_info_score(code, factors["b"]) for code in codes.T]
    assert metrics.mig_sup(codes, factors) == pytest.approx(((h - told_b[0]) / h + (weak - told_b[1]) / h) / 2)
    by_hand = 1 - np.array([told_b[0] ** 2 / h**2, told_b[1] ** 2 / weak**2])
    assert metrics.modularity(codes, factors) == pytest.approx(by_hand.mean())


def test_histograms_agree_with_a_plain_count(truth, factors):
    """I from a loop over cells, on the fixed table, for codes with more than one value per bin."""
    code = truth[:, 3] + 0.4 * noise(1)[:, 0]
    kinds = (factors["number 0"] * 4).astype(int)
    low, high = code.min(), code.max()
    cells = np.minimum(((code - low) / (high - low) * 20).astype(int), 19)
    nats = 0.0
    for cell in range(20):
        for kind in range(4):
            both = np.mean((cells == cell) & (kinds == kind))
            if both:
                nats += both * np.log(both / np.mean(cells == cell) / np.mean(kinds == kind))
    shares = np.bincount(kinds) / ROWS
    wanted = nats / -(shares * np.log(shares)).sum()
    assert metrics.mig(code[:, None], {"kind 4": kinds}) == pytest.approx(wanted, abs=2e-3)


def test_mig_sampled_agrees_with_numeric_integration():
    """Two classes, posteriors N(±1, .7²): H(z) - H(z | class), by integrals."""
    kinds = np.arange(ROWS) % 2
    means, stddev = 2.0 * kinds - 1, 0.7

    def mixture(z):
        return 0.5 * norm.pdf(z, -1, stddev) + 0.5 * norm.pdf(z, 1, stddev)

    marginal = quad(lambda z: -mixture(z) * np.log(mixture(z)), -8, 8)[0]
    information = marginal - norm(0, stddev).entropy()
    result = metrics.mig_sampled(means[:, None], np.full((ROWS, 1), stddev), {"kind": kinds})
    assert result == pytest.approx(information / np.log(2), abs=0.04)
    # The histogram of the means sees two values and takes the posteriors' width for nothing.
    assert metrics.mig(means[:, None], {"kind": kinds}) == pytest.approx(1)


def test_dci_by_hand(factors):
    """One dimension for each of two factors, then one dimension for both."""
    kinds = {name: factors[name] for name in ("kind 2", "kind 4")}
    apart = np.column_stack(list(kinds.values())).astype(float)
    result = metrics.dci(apart, kinds)
    assert result.disentanglement > 0.98 and result.completeness > 0.98 and result.informativeness == 1
    both = (kinds["kind 2"] * 4 + kinds["kind 4"])[:, None].astype(float)
    result = metrics.dci(np.column_stack([both, noise(1)]), kinds)
    assert result.disentanglement < 0.1 and result.completeness > 0.9


def test_sap_by_hand(factors):
    number = {"number 0": factors["number 0"]}
    codes = np.column_stack([factors["number 0"] + 0.2 * noise(1)[:, 0], factors["number 0"] + noise(1, 5)[:, 0]])
    r2 = [np.corrcoef(code, factors["number 0"])[0, 1] ** 2 for code in codes.T]
    assert metrics.sap(codes, number) == pytest.approx(r2[0] - r2[1])


def test_modularity_of_a_dimension_that_knows_two_factors_alike(factors):
    kinds = {name: factors[name] for name in ("kind 2", "kind 4")}
    both = kinds["kind 2"] * 4.0 + kinds["kind 4"]
    told = np.array([mutual_info_score(both, kind) for kind in kinds.values()])
    assert metrics.modularity(both[:, None], kinds) == pytest.approx(1 - (told.min() / told.max()) ** 2, abs=1e-6)


def test_udr():
    codes = noise(4)
    same = metrics.udr(codes, [codes[:, [2, 0, 3, 1]], -codes])
    turned = metrics.udr(codes, [rotated(codes)])
    other = metrics.udr(codes, [noise(4, 9)])
    assert same > 0.85 > 0.7 > turned > other and other < 0.1
    assert metrics.udr(np.hstack([codes, 0.01 * noise(3, 3)]), [codes]) == pytest.approx(metrics.udr(codes, [codes]))
    assert metrics.udr(codes[:, :1], [codes[:, :1]]) == pytest.approx(1)
    assert metrics.udr(codes, [codes, codes, noise(4, 9)]) == metrics.udr(codes, [codes])  # the median


def test_udr_by_hand():
    a = np.column_stack([np.arange(50.0), np.arange(50.0) ** 3])  # the same ranks twice
    b = np.arange(50.0)[:, None]
    # R is (1, 1) on top of each other: the dimension of b has 1² / 2, each of a has 1² / 1.
    assert metrics.udr(a, [b]) == pytest.approx((1 + 1 + 0.5) / 3)


# What is not defined, and what is wrong


@every
def test_not_defined(name, truth, factors):
    measure = MEASURES[name]
    with pytest.raises(NotDefinedError, match="there is no code"):
        measure(np.zeros((ROWS, 0)), factors)
    with pytest.raises(NotDefinedError, match="'same' is the same in all rows"):
        measure(truth, {**factors, "same": np.ones(ROWS)})
    with pytest.raises(NotDefinedError, match="10 rows are too few"):
        measure(truth[:10], {key: value[:10] for key, value in factors.items()})
    with pytest.raises(NotDefinedError, match="it takes"):
        measure(truth, {})
    if name not in GAPS:
        with pytest.raises(NotDefinedError, match="it takes 2 factors"):
            measure(truth, {"kind 2": factors["kind 2"]})


@every
def test_bad_tables(name, truth, factors):
    measure, holed = MEASURES[name], truth.copy()
    holed[3, 1] = np.nan
    for codes in (holed, truth[:, 0]):
        with pytest.raises(ValueError, match="finite table"):
            measure(codes, factors)
    with pytest.raises(ValueError, match="one value a row"):
        measure(truth.T, factors)  # transposed
    with pytest.raises(ValueError, match="'bad' is not all finite"):
        measure(truth, {**factors, "bad": np.where(np.arange(ROWS) == 5, np.nan, 1.0 * np.arange(ROWS))})


def test_bad_stddevs(truth, factors):
    for stddevs in (np.zeros(truth.shape), np.ones((3, 3)), np.full(truth.shape, np.nan)):
        with pytest.raises(ValueError, match="stddevs of shape"):
            metrics.mig_sampled(truth, stddevs, factors)


def test_udr_not_defined_or_wrong():
    with pytest.raises(NotDefinedError, match="two runs"):
        metrics.udr(noise(3), [])
    with pytest.raises(NotDefinedError, match="no active dimension"):
        metrics.udr(noise(3), [np.zeros((ROWS, 2))])
    with pytest.raises(ValueError, match="the same data"):
        metrics.udr(noise(3), [noise(3)[:10]])


def test_a_number_that_is_nearly_always_zero(truth, factors):
    rare = np.where(np.arange(ROWS) % 25 == 0, np.linspace(1, 2, ROWS), 0.0)
    known = {**factors, "rare": rare}
    for name, measure in MEASURES.items():
        assert np.isfinite(measure(np.column_stack([truth, rare]), known)), name
    assert metrics.mig(np.column_stack([truth, rare]), known) > 0.5
    assert metrics.modularity(noise(3), {"rare": rare, "kind 4": factors["kind 4"]}) < 1
    assert np.isfinite(normalised_mutual_information([truth], known)).all()


def test_the_classifier_of_the_beta_vae_score_is_scored_on_other_points():
    """With 300 dimensions of noise it learns its own 400 points by heart."""
    factors = {f"factor{i}": np.random.default_rng(i).integers(0, 4, ROWS) for i in range(5)}
    assert metrics.beta_vae_score(noise(300), factors) < 0.35


def test_the_factor_vae_score_counts_variance_in_units_of_the_dimension():
    """A dimension of small variance varies least in every group, and must not win all votes for that."""
    rng = np.random.default_rng(0)
    factors = {name: rng.integers(0, 5, ROWS) for name in ("one", "two")}
    loud = [10 * factors[name] + rng.normal(size=ROWS) for name in factors]
    assert metrics.factor_vae_score(np.column_stack([*loud, 0.3 * rng.normal(size=ROWS)]), factors) > 0.95
