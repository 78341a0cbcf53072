"""Makes the small foreign files that the import tests read.

    pip install numpy scipy h5py
    python make_fixtures.py

Field a holds 100 n + 10 y + x and field u its negative eighth, both exact in single precision, so
that any mistake of axis or order shows in every value. n counts samples (3), y and x points (8).
"""

import h5py
import numpy as np
import scipy.io
import scipy.sparse

COUNT, SIZE, SNAPSHOTS = 3, 8, 10

n, y, x = np.meshgrid(*map(np.arange, (COUNT, SIZE, SIZE)), indexing="ij")
a = (100 * n + 10 * y + x).astype("f8")
u = -a / 8

# MATLAB v5, uncompressed, as scipy writes it.
scipy.io.savemat("diffusionpde_poisson_v5.mat", {"f_data": a, "phi_data": u})

# MATLAB v7: the same with zlib, among variables of kinds that are no numeric array.
scipy.io.savemat(
    "diffusionpde_helmholtz_v7.mat",
    {
        "note": "text",
        "cells": np.array([1, "two"], dtype=object),
        "settings": {"k": 1.0},
        "f_data": a.astype("u2"),
        "psi_data": u.astype("f4"),
        "complex": np.array([1 + 2j]),
    },
    do_compression=True,
)


# MATLAB v7.3: a user block with MATLAB's text, axes reversed, each variable's class beside it.
def matlab73(path, arrays):
    with h5py.File(path, "w", userblock_size=512) as f:
        for name, array in arrays.items():
            d = f.create_dataset(name, data=array.T, chunks=True, compression="gzip")
            kind = {"f8": "double", "f4": "single", "u1": "uint8"}[array.dtype.str[1:]]
            d.attrs["MATLAB_class"] = np.bytes_(kind)
    with open(path, "r+b") as f:
        text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 ."
        f.write(text.ljust(116) + bytes(8) + b"\x00\x02IM")


matlab73("diffusionpde_darcy_v73.mat", {"thresh_a_data": a, "thresh_p_data": u})

# The same arrays as other programs keep them: no class, samples on the last axis.
with h5py.File("diffusionpde_darcy_last.mat", "w") as f:
    f["thresh_a_data"] = np.moveaxis(a, 0, -1).astype(">f4")
    f["thresh_p_data"] = np.moveaxis(u, 0, -1)

# Navier-Stokes: snapshot k = 1..10 of w is u + 1000 k, on the last axis.
with h5py.File("diffusionpde_navier_stokes.h5", "w", libver="v110") as f:
    f["w0"] = a.astype("f4")
    w = u[..., None] + 1000 * np.arange(1, SNAPSHOTS + 1)
    f.create_dataset("w", data=w.astype("f4"), compression="gzip", shuffle=True)

# PDEBench.
with h5py.File("pdebench_darcy.hdf5", "w") as f:
    f.create_dataset("nu", data=a.astype("f4"), chunks=(1, SIZE, SIZE), compression="lzf")
    f.create_dataset("tensor", data=u[:, None].astype("f4"), chunks=True, fletcher32=True)
    f["x-coordinate"] = (np.arange(SIZE, dtype="f4") + 0.5) / SIZE
    f["y-coordinate"] = (np.arange(SIZE, dtype="f4") + 0.5) / SIZE
with h5py.File("pdebench_burgers.hdf5", "w") as f:
    f["tensor"] = u[:, :6].astype("f4")
    f["x-coordinate"] = (np.arange(SIZE, dtype="f4") + 0.5) / SIZE
    f["t-coordinate"] = np.linspace(0, 2, 7, dtype="f4")

# Storage and links of HDF5 that not every reader follows, small: a is 3 x 4 x 4 as above.
small = a[:, :4, :4]
with h5py.File("links.h5", "w", track_order=False) as f:
    f["data/a"] = small
    f["a"] = h5py.SoftLink("/data/a")
    f["again"] = f["data/a"]
    f["lost"] = h5py.SoftLink("/nowhere")
    f["data/up"] = h5py.SoftLink("/data")
with h5py.File("latest.h5", "w", libver="latest") as f:
    # Two unlimited axes: chunks indexed by a version 2 B-tree, and layout version 5 of HDF5 2.0.
    options = {"maxshape": (None, None, 4), "chunks": (2, 2, 4)}
    f.create_dataset("group/a", data=small, compression="gzip", **options)
    f.create_dataset("half", data=small.astype("f2"), **options)
    f.create_dataset("big", data=small.astype(">f4"), chunks=(2, 2, 4), compression="lzf")
    f.create_dataset("true", data=small > 100)
    f["note"] = "text"
    f["complex"] = small[0].astype("c16")
    f["records"] = np.zeros(2, dtype=[("a", "f4"), ("b", "f4"), ("c", "f4")])
    f["empty"] = h5py.Empty("f4")
    bfloat = h5py.h5t.IEEE_F16LE.copy()
    bfloat.set_fields(15, 7, 8, 0, 7)
    bfloat.set_ebias(127)
    h5py.h5d.create(f.id, b"bfloat", bfloat, h5py.h5s.create_simple((2,)))

# MATLAB v5: what is in a structure, and what is no array of numbers.
scipy.io.savemat(
    "structures.mat",
    {
        "run": {"f_data": a.astype("f4"), "inner": {"phi_data": u.astype("f4")}, "note": "text"},
        "sparse": scipy.sparse.eye(3, format="csc"),
        "many": np.array([(1.0,), (2.0,)], dtype=[("k", "O")]),
        "logical": (a > 100),
        "f_data": a[0] + 1j,
    },
    do_compression=True,
)
