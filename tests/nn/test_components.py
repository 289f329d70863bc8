import numpy as np
import pytest
import torch

from vlae.nn.components import PrincipalComponents


def test_components_keep_the_distances_of_features_that_they_span(rng):
    features = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 8)) + 5
    components = PrincipalComponents(8, 3)
    components.fit(features)
    z = components(torch.from_numpy(features)).numpy()
    ratio = np.linalg.norm(features[1:] - features[0], axis=1) / np.linalg.norm(z[1:] - z[0], axis=1)
    assert ratio == pytest.approx(ratio[0], rel=1e-4)
    assert z.mean(0) == pytest.approx(0, abs=1e-4) and z.var(0).mean() == pytest.approx(1, rel=0.02)
    assert (np.diff(z.var(0)) < 0).all()  # the largest first


def test_features_that_tell_nothing_or_are_of_another_network_are_refused(rng):
    components = PrincipalComponents(8, 3)
    with pytest.raises(ValueError, match="the same features of all pictures"):
        components.fit(np.ones((20, 8)))
    with pytest.raises(ValueError, match="gives 9 features, the model reads 8"):
        components(torch.zeros(2, 9))
