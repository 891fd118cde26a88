"""Fitted scalers are converted from scikit-learn to gradtx and back."""

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets
from sklearn import preprocessing

import gradtx as gx
from gradtx.interop.sklearn import from_sklearn, to_sklearn

X = sklearn.datasets.load_wine().data.astype(np.float32).astype(np.float64)
PAIRS = [
    (preprocessing.StandardScaler(), gx.inputs.standardize()),
    (preprocessing.StandardScaler(with_mean=False), gx.inputs.standardize(centering=False)),
    (preprocessing.StandardScaler(with_std=False), gx.inputs.standardize(scaling=False)),
    (
        preprocessing.StandardScaler(with_mean=False, with_std=False),
        gx.inputs.standardize(centering=False, scaling=False),
    ),
    (preprocessing.MinMaxScaler((-1, 2), clip=True), gx.inputs.min_max((-1, 2), clip=True)),
    (preprocessing.MaxAbsScaler(), gx.inputs.max_abs()),
    (preprocessing.RobustScaler(), gx.inputs.robust(sample_size=2)),
    (
        preprocessing.RobustScaler(quantile_range=(10, 80), unit_variance=True),
        gx.inputs.robust(quantile_range=(10, 80), unit_variance=True, sample_size=2),
    ),
    (preprocessing.RobustScaler(with_centering=False), gx.inputs.robust(centering=False, sample_size=2)),
    (preprocessing.RobustScaler(with_scaling=False), gx.inputs.robust(scaling=False, sample_size=2)),
]
every_pair = pytest.mark.parametrize(("scaler", "ours"), PAIRS, ids=[str(scaler) for scaler, _ in PAIRS])


@every_pair
def test_taken_over(scaler, ours):
    scaler.fit(X[:100])
    tx, state = from_sklearn(scaler)
    assert tx == ours
    y = tx.update(jnp.asarray(X[100:], jnp.float32), state, train=False)[0]
    np.testing.assert_allclose(y, scaler.transform(X[100:]), rtol=5e-6, atol=2e-6)
    back = to_sklearn(tx, state)
    np.testing.assert_allclose(back.transform(X), scaler.transform(X), rtol=5e-6, atol=2e-6)
    np.testing.assert_allclose(back.inverse_transform(X), scaler.inverse_transform(X), rtol=5e-6, atol=2e-6)


@every_pair
def test_handed_over(scaler, ours):
    ours = gx.inputs.robust(**{**vars(ours.stages["robust"]), "sample_size": 200}) if "robust" in ours.stages else ours
    state = gx.inputs.fit(ours, [X[:100]])
    given = to_sklearn(ours, state)
    scaler.fit(X[:100])
    assert given.get_params() == scaler.get_params()
    assert vars(given).keys() == vars(scaler).keys()
    spread = scaler.transform(X).std(0)
    np.testing.assert_allclose(given.transform(X) / spread, scaler.transform(X) / spread, rtol=2e-6, atol=2e-6)


@every_pair
def test_learning_goes_on_on_either_side(scaler, ours):
    if not hasattr(scaler, "partial_fit"):
        pytest.skip("it learns from one batch")
    scaler.fit(X[:100])
    tx, state = from_sklearn(scaler)
    state = gx.inputs.fit(tx, [X[100:130]], state)
    scaler.partial_fit(X[100:130])
    given = to_sklearn(tx, state)
    assert given.n_samples_seen_ == scaler.n_samples_seen_ == 130
    for last in (given, scaler):
        last.partial_fit(X[130:])
    np.testing.assert_allclose(given.transform(X), scaler.transform(X), rtol=2e-6, atol=2e-6)


def test_weights_and_missing_values_keep_their_counts():
    weights = np.linspace(0.5, 2.0, len(X))
    scaler = preprocessing.StandardScaler().fit(X, sample_weight=weights)
    np.testing.assert_allclose(to_sklearn(*from_sklearn(scaler)).n_samples_seen_, scaler.n_samples_seen_, rtol=1e-12)
    lost = np.where(np.arange(X.size).reshape(X.shape) % 7 == 0, np.nan, X)
    scaler = preprocessing.StandardScaler().fit(lost)
    np.testing.assert_array_equal(to_sklearn(*from_sklearn(scaler)).n_samples_seen_, scaler.n_samples_seen_)


def test_refuses_what_it_does_not_know():
    with pytest.raises(TypeError, match=r"expected one of StandardScaler, .* got PowerTransformer"):
        from_sklearn(preprocessing.PowerTransformer())
    with pytest.raises(ValueError, match="this MinMaxScaler is not fitted"):
        from_sklearn(preprocessing.MinMaxScaler())
    with pytest.raises(ValueError, match="MaxAbsScaler clips"):
        from_sklearn(preprocessing.MaxAbsScaler(clip=True).fit(X))
    both = gx.chain(gx.inputs.standardize(), gx.inputs.max_abs())
    with pytest.raises(TypeError, match=r"to_sklearn: expected one of standardize, .* got chain"):
        to_sklearn(both, both.init(X))
    tx = gx.inputs.standardize()
    with pytest.raises(ValueError, match="learnt from no examples"):
        to_sklearn(tx, tx.init(X))
    with pytest.raises(ValueError, match="one array of shape"):
        to_sklearn(tx, gx.inputs.fit(tx, [{"a": X}]))
