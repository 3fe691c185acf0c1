"""Training samples that stand apart from the others by their held-out distances."""

import numpy as np
from scipy.stats import false_discovery_control, norm

# The bulk of the logarithms of held-out distances gives their distribution: the median,
# and the spread below it, where anomalies are not.
_LOWER_QUANTILE = 0.25
# Of samples that stand apart so many may do so by chance, and a gap is below them: they
# are to be looked at, not left out unseen.
_FALSE_DISCOVERIES = 0.2
_GAP = 1.15
_MOST = 0.1


def p_values_of_bulk(distances):
    """Probability of larger distances, log-normal as the lower half of them is."""
    # A sample at the mean has the distance 0.
    logarithms = np.log(np.maximum(distances, np.finfo(float).tiny))
    low, median = np.quantile(logarithms, [_LOWER_QUANTILE, 0.5], method="inverted_cdf")
    spread = (median - low) / -norm.ppf(_LOWER_QUANTILE)
    if not (np.isfinite(median) and spread > 0):
        # Equal or infinite distances tell none from another.
        return np.ones(len(distances))
    return norm.sf((logarithms - median) / spread)


def find_apart(distances):
    """Find samples that stand apart: far out, with a gap between them and the others.

    Parameters
    ----------
    distances : ndarray of shape (n_samples,)
        Held-out distances.

    Returns
    -------
    rows : ndarray of shape (n_apart,), dtype int
        The farthest first; at most a tenth of all.
    """
    order = np.argsort(-distances, kind="stable")
    # Copies, which are equally far, count once.
    different = np.unique(distances)[::-1]
    adjusted = false_discovery_control(p_values_of_bulk(different))
    n_far = np.count_nonzero(adjusted <= _FALSE_DISCOVERIES)
    most = min(n_far, int(_MOST * len(different)))
    far = different[: most + 1]
    # Of distances that are 0 or infinite none tells a gap.
    if most == 0 or not (np.isfinite(far).all() and far.min() > 0):
        return order[:0]
    ratios = far[:-1] / far[1:]
    if ratios.max() < _GAP:
        return order[:0]
    return order[: np.count_nonzero(distances >= far[ratios.argmax()])]
