"""Properties of the metrics at the size of a study, over many random draws."""

import numpy as np
import pytest

from ecgrepro.closeness.metrics.frechet import frechet_distance
from ecgrepro.closeness.metrics.mmd import mmd, sliced_wasserstein
from ecgrepro.closeness.metrics.prdc import prdc
from ecgrepro.closeness.metrics.privacy import authenticity, nearest_distances


@pytest.mark.stress
def test_bounds_and_invariances_hold_at_size(stress):
    for seed in range(3 * stress):
        rng = np.random.default_rng(seed)
        n, m, d = rng.integers(200, 2000, 2).tolist() + rng.integers(4, 256, 1).tolist()
        real = rng.normal(size=(n, d))
        synthetic = rng.normal(rng.normal(scale=0.3), rng.uniform(0.5, 2), size=(m, d))
        rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
        moved, turned = rng.permutation(synthetic), synthetic @ rotation
        distance = frechet_distance(real, synthetic)
        assert distance >= 0 and frechet_distance(synthetic, real) == pytest.approx(distance)
        assert frechet_distance(real, moved) == pytest.approx(distance)
        assert frechet_distance(real @ rotation, turned) == pytest.approx(distance)
        shares = prdc(real, synthetic, 5)
        for name, value in shares.items():
            assert 0 <= value <= (np.inf if name == "density" else 1), (seed, name, value)
        assert prdc(real @ rotation, turned, 5) == pytest.approx(shares, abs=2 / min(n, m))
        assert mmd(real, moved) == pytest.approx(mmd(real, synthetic), rel=0.01)
        assert sliced_wasserstein(real, real) == pytest.approx(0, abs=1e-12)
        assert 0 <= authenticity(real, synthetic) <= 1
        assert (nearest_distances(synthetic, real) >= 0).all()
