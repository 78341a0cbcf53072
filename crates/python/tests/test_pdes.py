"""The solver and the residual."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import phys_instruct as pi
import pytest


@pytest.mark.parametrize("name", pi.pdes())
def test_generated_pairs_solve_their_equation(name: str) -> None:
    pairs = pi.generate(name, 2, grid=32, seed=3)
    found = pi.residual(name, **{field: pairs[field] for field in pairs})
    assert found.relative.shape == (2,) and (found.relative < 1e-2).all()
    assert found.fields.shape[0] == 2 and found.fields.ndim == 4


def test_a_solution_is_the_command_line_s(program: Callable[..., str], tmp_path: Path) -> None:
    a = np.random.default_rng(0).normal(size=(2, 32, 32))
    np.save(tmp_path / "a.npy", a)
    out = tmp_path / "out.npz"
    program("simulate", "helmholtz", "--input", tmp_path / "a.npy", "--param", "k=2", "--out", out)
    with pytest.warns(pi.AnswerWarning):
        solved = pi.simulate("helmholtz", a, params={"k": 2.0})
    written = np.load(out)
    assert solved["u"].dtype == np.float64
    for name in solved:
        assert np.array_equal(solved[name], written[name])


def test_one_input_has_one_solution() -> None:
    a = np.where(np.add.outer(np.arange(64), np.arange(64)) % 16 < 8, 12, 3)
    solved = pi.simulate("darcy", a)
    assert solved["u"].shape == (64, 64)
    found = pi.residual("darcy", a, solved["u"])
    assert float(found.relative) < 1e-2 and found.fields.ndim == 3
    line = pi.simulate("burgers", np.sin(2 * np.pi * np.arange(64) / 64))
    assert line["u"].shape == (64, 64)


def test_fields_by_order_and_by_name_and_on_rectangles() -> None:
    pde = pi.PDE("poisson")
    pairs = pi.generate(pde, 2, grid=(32, 48), sides=(0.5, 1.0))
    one = pi.residual(pde, pairs["a"], pairs["u"], sides=(0.5, 1.0))
    other = pi.residual(pde, u=pairs["u"], a=pairs["a"], sides=(0.5, 1.0))
    assert np.array_equal(one.relative, other.relative) and (one.relative < 1e-3).all()
    assert pairs.grid.y.max() <= 0.5 < pairs.grid.x.max()


def test_what_cannot_be_solved_is_named() -> None:
    square = np.ones((16, 16))
    with pytest.raises(pi.PhysicsError, match="unknown PDE `stokes`"):
        pi.simulate("stokes", square)
    with pytest.raises(pi.PhysicsError, match="no parameter `q`"):
        pi.simulate("helmholtz", square, params={"q": 1.0})
    with pytest.raises(pi.ShapeError, match=r"`a`: shape \[4\] found"):
        pi.simulate("darcy", np.ones(4))
    with pytest.raises(pi.ShapeError, match=r"`u`: shape .* \[x\] or \[sample, x\] expected"):
        pi.simulate("burgers", np.ones((2, 2, 2)))
    with pytest.raises(pi.PhysicsError, match="darcy: bad input"):
        pi.simulate("darcy", -square)
    with pytest.raises(pi.PhysicsError):
        pi.simulate("darcy", np.full((16, 16), np.nan))
    with pytest.raises(pi.DtypeError, match="complex128"):
        pi.simulate("darcy", square * 1j)
    with pytest.raises(pi.ShapeError, match="fields a found, a, u expected"):
        pi.residual("darcy", square)
    with pytest.raises(pi.ShapeError, match="`a` .*16, 16.*`u` .*8, 8"):
        pi.residual("darcy", square, np.ones((8, 8)))
    with pytest.raises(pi.RequestError, match="`a` is given twice"):
        pi.residual("darcy", square, a=square)
    for grid in (1, "16", (8, 8, 8), (8.5, 16), -3, 5000):
        with pytest.raises(pi.ConfigError, match="grid = "):
            pi.generate("poisson", 1, grid=grid)  # type: ignore[arg-type]
    assert pi.generate("poisson", 1, grid=np.int64(8)).array.shape == (1, 2, 8, 8)  # type: ignore[arg-type]


def test_a_pde_known_by_data_alone_has_no_equation() -> None:
    pde = pi.PDE(fields=["a", "u"], input="a", ranges={"u": (0, 1)})
    assert pde.channels == ["a", "u"] and "data alone" in pde.equation
    with pytest.raises(pi.NoEquationError):
        pi.residual(pde, np.ones((8, 8)), np.ones((8, 8)))
    with pytest.raises(pi.NoEquationError):
        pi.simulate(pde, np.ones((8, 8)))
    with pytest.raises(pi.ConfigError, match="a, u expected|one of a, u"):
        pi.PDE(fields=["a", "u"], input="b")
    with pytest.raises(pi.ConfigError):
        pi.PDE(fields=["a"], input="a")
    with pytest.raises(pi.ConfigError):
        pi.PDE()
