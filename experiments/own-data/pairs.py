"""Pairs (a, u) of -D lap u + b . grad u + u^3 = a, u = 0 on the boundary of the unit square.

An equation that the program does not know. The grid has 64 x 64 nodes, those of the boundary among
them. Central differences, Newton's method, SciPy's sparse LU factors. The source a is a Gaussian
field with the standard deviation 1 and the correlation exp(-r^2 / (2 l^2)) with l = 0.15.

    pairs.py OUT.npz COUNT SEED
"""

import sys

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

NODES = 64
D = 0.02
B = (1.0, 0.5)  # along x and along y
CORRELATION = 0.15
MOST_STEPS = 30


def operators():
    """-D lap + b . grad on the inner nodes, rows along y first."""
    n, h = NODES - 2, 1.0 / (NODES - 1)
    one = np.ones(n)
    second = sparse.diags([one[1:], -2 * one, one[1:]], [-1, 0, 1]) / h**2
    first = sparse.diags([-one[1:], one[1:]], [-1, 1]) / (2 * h)
    identity = sparse.identity(n)
    laplacian = sparse.kron(second, identity) + sparse.kron(identity, second)
    along_x, along_y = sparse.kron(identity, first), sparse.kron(first, identity)
    return (-D * laplacian + B[0] * along_x + B[1] * along_y).tocsc()


def solution(linear, a):
    """u on all nodes for the source a on all nodes, by Newton's method."""
    right = a[1:-1, 1:-1].ravel()
    u = np.zeros_like(right)
    for _ in range(MOST_STEPS):
        residual = linear @ u + u**3 - right
        if np.linalg.norm(residual) < 1e-10 * np.linalg.norm(right):
            return np.pad(u.reshape(NODES - 2, NODES - 2), 1)
        u -= splu((linear + sparse.diags(3 * u**2)).tocsc()).solve(residual)
    raise RuntimeError(f"{MOST_STEPS} Newton steps were not enough")


def gaussian_root():
    """The root R of the correlation along one side: R N R' has it along both for white N."""
    x = np.linspace(0.0, 1.0, NODES)
    correlation = np.exp(-0.5 * (x[:, None] - x[None]) ** 2 / CORRELATION**2)
    values, vectors = np.linalg.eigh(correlation)
    return vectors * np.sqrt(np.clip(values, 0.0, None))


def main():
    out, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng, linear, root = np.random.default_rng(seed), operators(), gaussian_root()
    sources = [root @ rng.standard_normal((NODES, NODES)) @ root.T for _ in range(count)]
    solutions = [solution(linear, a) for a in sources]
    np.savez(out, a=np.float32(sources), u=np.float32(solutions))


if __name__ == "__main__":
    main()
