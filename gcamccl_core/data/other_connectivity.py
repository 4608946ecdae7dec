"""Other measures of connectivity: of a band of frequencies, and along the tangent of a group's mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mne_connectivity import spectral_connectivity_epochs
from nilearn.connectome import ConnectivityMeasure
from scipy.stats import zscore
from tqdm import tqdm

BANDS = {"slow-5": (0.01, 0.027), "slow-4": (0.027, 0.073)}  # Hz; Zuo et al. (2010)
RESOLVED = 2.0  # a window must hold so many periods of the narrowest band's width
METHODS = ("coh", "imcoh", "plv", "wpli")


def estimate_band_connectivity(
    time_series: Sequence[np.ndarray],
    repetition_time: float,
    bands: Mapping[str, tuple[float, float]] = BANDS,
    method: str = "coh",
    n_windows: int = 5,
) -> dict[str, np.ndarray]:
    """Estimate connectivity within bands of frequencies, by mne-connectivity.

    Parameters
    ----------
    time_series : sequence of array of shape (time, roi)
        One per subject, without a band-pass filter that takes a band away.
    repetition_time : float
        Seconds.
    bands : mapping of str to (float, float)
        Lowest and highest frequency in Hz.
    method : {"coh", "imcoh", "plv", "wpli"}
        Coherence, its imaginary part, the phase-locking value, or the weighted phase lag index.
    n_windows : int
        Over how many stretches of the scan, half overlapping, spectra are averaged.

    Returns
    -------
    dict of str to array of shape (subject, roi, roi), float32
        By band; symmetric but for ``"imcoh"``, whose size is given. The diagonal is 1, or 0 for measures of lag.

    Raises
    ------
    ValueError
        If the method is unknown, a band lies above what the repetition time can tell, or a window is too short for the
        lowest frequency or the narrowest band.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = estimate_band_connectivity([rng.standard_normal((200, 3))], repetition_time=2.0)
    >>> sorted(found), found["slow-4"].shape
    (['slow-4', 'slow-5'], (1, 3, 3))
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    fastest = 0.5 / repetition_time
    for name, (low, high) in bands.items():
        if not 0 < low < high:
            raise ValueError(f"band {name!r} is empty: {low} to {high} Hz")
        if high > fastest:
            raise ValueError(
                f"band {name!r} ends at {high:g} Hz; with a repetition time of {repetition_time:g} s nothing above "
                f"{fastest:.3g} Hz can be told"
            )
    results: dict[str, list[np.ndarray]] = {name: [] for name in bands}
    for series in tqdm(time_series, "bands", leave=False, delay=3):
        length = 2 * len(series) // (n_windows + 1)
        lowest = min(low for low, _ in bands.values())
        narrowest = min(high - low for low, high in bands.values())
        if length * repetition_time < 1 / lowest:
            raise ValueError(
                f"a window of {length * repetition_time:.3g} s is shorter than one period of {lowest:g} Hz; take fewer "
                "windows or higher bands"
            )
        if length * repetition_time * narrowest < RESOLVED:
            raise ValueError(
                f"a window of {length * repetition_time:.3g} s cannot tell a band of {narrowest:.3g} Hz from its "
                "neighbours; take fewer windows or wider bands"
            )
        starts = [number * (length // 2) for number in range(n_windows)]
        windows = np.stack([np.asarray(series, dtype=float)[start : start + length].T for start in starts])
        found = spectral_connectivity_epochs(
            windows,
            method=method,
            sfreq=1 / repetition_time,
            mode="multitaper",
            mt_bandwidth=narrowest,  # mne's own choice would smooth over the neighbours
            fmin=tuple(low for low, _ in bands.values()),
            fmax=tuple(high for _, high in bands.values()),
            faverage=True,
            verbose="error",
        ).get_data(output="dense")
        for number, name in enumerate(bands):
            lower = np.abs(found[:, :, number])
            full = lower + lower.T
            np.fill_diagonal(full, 0.0 if method in ("imcoh", "wpli") else 1.0)
            results[name].append(full.astype(np.float32))
    return {name: np.stack(each) for name, each in results.items()}


def estimate_tangent(
    time_series: Sequence[np.ndarray], train: Sequence[int] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Project every subject's correlations on the tangent space at the training subjects' mean, by nilearn.

    .. math:: T_s = \log\bigl(G^{-1/2} \Sigma_s G^{-1/2}\bigr)

    with :math:`\Sigma_s` the (shrunk) covariance of the standardised series, so that a scanner's unit does not matter,
    and G the geometric mean of the training subjects': other subjects have no part in it.

    Parameters
    ----------
    time_series : sequence of array of shape (time, roi)
        One per subject.
    train : array of int
        Positions of the training subjects, whose mean it is.

    Returns
    -------
    tangent : array of shape (subject, roi, roi), float32
        Symmetric; of kind "measure", since it has no bounds. Another split needs another one.
    mean : array of shape (roi, roi)
        G.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> series = [rng.standard_normal((80, 3)) for _ in range(4)]
    >>> tangent, mean = estimate_tangent(series, train=[0, 1, 2])
    >>> tangent.shape, bool(abs(tangent[:3].mean(axis=0)).max() < 1e-4)
    ((4, 3, 3), True)
    """
    measure = ConnectivityMeasure(kind="tangent", standardize=None)
    scaled = [zscore(np.asarray(series, dtype=float)) for series in time_series]
    measure.fit([scaled[int(number)] for number in train])
    tangent = measure.transform(scaled)
    return ((tangent + tangent.swapaxes(1, 2)) / 2).astype(np.float32), measure.mean_
