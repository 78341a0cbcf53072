"""The linear estimate of a from sensors of u, by the covariance of the pairs themselves.

What a model of the pairs has to be compared with: no network, and no equation. Prints the relative
error of a and the share within the 90 % interval, means over the held-out pairs.

    linear.py PAIRS.npz HELD-OUT.npz
"""

import sys

import numpy as np

SENSORS, NOISE = 50, 0.01
# The pairs that `config.toml` trains on.
TRAINED_ON = 450
INTERVAL = 1.645


def fields(path):
    with np.load(path) as arrays:
        return [arrays[name].reshape(len(arrays[name]), -1).astype(float) for name in "au"]


def main():
    (a, u), (true_a, true_u) = fields(sys.argv[1]), fields(sys.argv[2])
    a, u = a[:TRAINED_ON], u[:TRAINED_ON]
    mean_a, mean_u, sd = a.mean(0), u.mean(0), NOISE * u.std()
    root_a, root_u = [(f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (a, u)]

    rng = np.random.default_rng(0)
    errors, covered = [], []
    for truth, solution in zip(true_a, true_u):
        places = rng.choice(u.shape[1], SENSORS, replace=False)
        seen = solution[places] + sd * rng.standard_normal(SENSORS)
        rows = root_u[:, places]
        gain = np.linalg.solve(rows.T @ rows + sd**2 * np.eye(SENSORS), rows.T).T
        answer = mean_a + (seen - mean_u[places]) @ gain.T @ root_a

        # The covariance R' (I - G) R of what is left, for pairs R; its diagonal alone.
        left = root_a - gain @ (rows.T @ root_a)
        deviation = np.sqrt(np.clip((root_a * left).sum(0), 0.0, None))
        errors.append(np.linalg.norm(answer - truth) / np.linalg.norm(truth))
        covered.append(np.mean(np.abs(answer - truth) <= INTERVAL * deviation))
    print(f"the reaction's share of the source, rms: {np.sqrt(np.mean(u**6) / np.mean(a**2)):.3f}")
    print(f"error {np.mean(errors):.3f}, within the 90 % interval {np.mean(covered):.3f}")


if __name__ == "__main__":
    main()
