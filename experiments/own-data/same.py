"""The same in Python: a student of five minutes, and a from 50 sensors of u over the held-out problems.

    same.py PAIRS.npz HELD-OUT.npz      (as `run` makes them)
"""

import sys

import numpy as np
import phys_instruct as pi

pairs, held_out = np.load(sys.argv[1]), np.load(sys.argv[2])
pde = pi.PDE(fields=["a", "u"], input="a", name="reaction-advection")
data = pi.Dataset(pde, a=pairs["a"], u=pairs["u"], validation=50)
student = pi.distill(pi.train(data, minutes=4.5, out="runs/own-data-python"), minutes=0.5)

scores, rng, sd = [], np.random.default_rng(0), 0.01 * pairs["u"].std()
for a, u in zip(held_out["a"], held_out["u"]):
    row, column = np.divmod(rng.choice(u.size, 50, replace=False), u.shape[1])
    seen = u[row, column] + sd * rng.standard_normal(50)
    observed = pi.Observations(u=seen, row=row, column=column, sd=sd)
    scores.append(student.solve(observed, task="inverse", ensemble=16).score({"a": a, "u": u}))
print({name: np.mean([score[name] for score in scores]) for name in ("error", "coverage90", "crps")})
