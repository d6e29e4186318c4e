import numpy as np
import pytest

from jacdb.errors import UsageError
from jacdb.ingest.environments import registry
from jacdb.ingest.policies import noise, resolve

CARTPOLE = registry.find("CartpoleBalance")


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_noise_has_the_spectrum_asked_for(beta):
    """Slope of the log power spectrum, estimated over 200 signals; its standard error is near 0.005."""
    policy = noise.NoisePolicy(beta=beta, scale=0.1)  # small: a clip would whiten it
    signals = np.concatenate([policy.noise(0, episode, 1024, 10) for episode in range(20)], axis=1)
    power = (np.abs(np.fft.rfft(signals, axis=0)) ** 2).mean(axis=1)[1:-1]
    frequency = np.fft.rfftfreq(1024)[1:-1]
    slope = np.polyfit(np.log(frequency), np.log(power), 1)[0]
    assert slope == pytest.approx(-beta, abs=0.03)


def test_noise_is_clipped_and_scaled():
    wide = noise.NoisePolicy(scale=1.0).noise(0, 0, 1000, 3)
    assert np.abs(wide).max() == 1
    small = noise.NoisePolicy(scale=0.05).noise(0, 0, 1000, 3)
    assert small.std() == pytest.approx(0.05, rel=0.2)


def test_an_episodes_noise_depends_on_seed_and_number_alone():
    policy = noise.NoisePolicy()
    first = policy.noise(3, 5, 100, 2)
    assert np.array_equal(first, policy.noise(3, 5, 100, 2))
    assert not np.array_equal(first, policy.noise(3, 6, 100, 2))
    assert not np.array_equal(first, policy.noise(4, 5, 100, 2))


def test_zero_does_nothing():
    assert not noise.ZeroPolicy().noise(0, 0, 10, 2).any()


@pytest.mark.parametrize("settings", [{"beta": -1.0}, {"beta": np.nan}, {"scale": -0.1}, {"scale": np.inf}])
def test_impossible_noise_is_refused(settings):
    with pytest.raises(UsageError, match=str(next(iter(settings.values())))):
        resolve.make("noise", CARTPOLE, **settings)
