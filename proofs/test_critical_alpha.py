"""Critical alpha: when alpha-beta chains of random layers stop converging

**Statement.** Let the entries of W be independent N(0, 1) and M = alpha W+ - beta |W-|, alpha - beta = 1,
with n columns. Its entries have mean m and variance v with kappa = v/m^2 = pi (alpha^2 + beta^2) - 1. Write
x = a (1 + e) for a vector whose entries have the mean a != 0, T = |e|^2/n, and C = <e_x, e_y>/n for two. In
the mean-field recursion of wide layers (n inputs and outputs, rho = kappa/n) the deficit of two vectors of
one T_0, C_0 < T_0, after l layers is

    D_l = 1 - (1 + C_l)/(1 + T_l) = rho^l (T_0 - C_0)/(1 + T_l),      T_(l+1) = rho (1 + T_l),

so (i) rho < 1: D_l decays geometrically, in the limit by the factor rho per layer; (ii) rho = 1: D_l = (T_0
- C_0)/(1 + T_0 + l), polynomially; (iii) rho > 1: D_l tends to (T_0 - C_0)/(T_0 + rho/(rho - 1)) > 0 and
the vectors never merge. Vectors of two T_0 that are not parallel have the same three cases: the factor rho,
1/l, and a positive limit. The border rho = 1 is alpha* = (1 + sqrt(2 (n + 1)/pi - 1))/2, the only solution
with alpha > 1/2.

**Argument.** For w ~ N(0, 1): E w+ = E |w-| = 1/sqrt(2 pi), E w+^2 = E w-^2 = 1/2, and w+ w- = 0. Hence m =
(alpha - beta)/sqrt(2 pi) = 1/sqrt(2 pi) and E M_ij^2 = (alpha^2 + beta^2)/2, and kappa follows; it depends
on alpha^2 + beta^2 only, so it does not change when alpha and beta change places.

One layer: e has the mean zero, so the entries of M x are m n a + noise of variance v |x|^2 = v n a^2 (1 + T),
independent, with covariance v n a a' (1 + C) for the pair. For wide layers sums over outputs are their
expectations, so T' = v n a^2 (1 + T)/(m n a)^2 = rho (1 + T) and C' = rho (1 + C). For equal T the cosine
is (1 + C)/(1 + T) and the deficit (T - C)/(1 + T) (for rho < 1 all T tend to rho/(1 - rho)); differences
obey T' - C' = rho (T - C). Solving the two linear recursions gives the formula, and letting l grow the
three cases. Where T_x and T_y differ, D = 1 - (1 + C)/sqrt((1 + T_x)(1 + T_y)). The root is 1 + (T_x +
T_y)/2 less at most (T_x - T_y)^2, T_x - T_y = O(rho^l), divided by the root: O(rho^(2 l)) in (i), O(1/l) in
(ii), so that to leading order (T_x + T_y)/2 stands for T, and (T_x + T_y)/2 - C at l = 0 is |e_x - e_y|^2/(2
n) > 0. In (iii) the limit is 1 - (c + C_0)/sqrt((c + T_x)(c + T_y)), c = rho/(rho - 1), T at l = 0: by Cauchy
and Schwarz C_0 <= sqrt(T_x T_y) and c + sqrt(T_x T_y) <= sqrt((c + T_x)(c + T_y)), both equalities for e_x =
e_y only. For rho > 1 the limit is the cosine that the noise freezes: mean-zero products have no contraction
at infinite width. At width n they have the factor 1 - O(1/n) per layer, which is the cross-over that
simulations show in place of a sharp border.

Finally pi (alpha^2 + (alpha - 1)^2) - 1 = n is 2 alpha^2 - 2 alpha + 1 = (n + 1)/pi, a convex parabola
about 1/2: one solution above 1/2, at the formula. It exceeds 1 iff n > pi - 1.

LRP-gamma. W + gamma W+ = (1 + gamma) W+ - |W-| = gamma (alpha W+ - beta |W-|) with alpha = 1 + 1/gamma and
beta = 1/gamma, and a constant changes no cosine: rho < 1 iff 1 + 1/gamma < alpha*, that is for gamma above

    gamma* = 1/(alpha* - 1) = (pi + sqrt(2 pi (n + 1) - pi^2))/(n + 1 - pi),

the positive root of (n + 1 - pi) gamma^2 - 2 pi gamma - 2 pi, for n > pi - 1. The rule's denominators, one of
both signs, are left out as those of the pools of alpha-beta are.

What is proved: moments, the solution of the recursion, the border. What is an estimate: that a network of
finite width follows the recursion (measured: within 0.1 decade on VGG-16's widths for alpha from 1 to 10).

Source: new here.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp

from conetheory.theory import meanfield
from conetheory.theory.randomlayers import alpha_beta, critical_alpha, critical_gamma, gamma_rule, rate

a, b, n, w = sp.symbols("alpha beta n w", positive=True)


def moment(f: sp.Expr) -> sp.Expr:
    return sp.integrate(f * sp.exp(-(w**2) / 2) / sp.sqrt(2 * sp.pi), (w, 0, sp.oo))


def test_moments_give_kappa() -> None:
    mean = a * moment(w) - b * moment(w)
    second = a**2 * moment(w**2) + b**2 * moment(w**2)
    kappa = ((second - mean**2) / mean**2).subs(b, a - 1)
    assert sp.simplify(kappa - (sp.pi * (a**2 + (a - 1) ** 2) - 1)) == 0
    for value in (1, 2, 5, 10, 0.5, -3):
        exact = float((sp.pi * (a**2 + (a - 1) ** 2) - 1).subs(a, value))
        assert alpha_beta(value).kappa == pytest.approx(exact, rel=1e-14, abs=0)
        assert alpha_beta(1 - value).kappa == pytest.approx(
            exact, rel=1e-14, abs=0
        )  # (alpha, beta) change places


def test_the_recursion_is_solved_by_the_formula() -> None:
    rho, T0, C0 = sp.symbols("rho T0 C0", positive=True)
    level = sp.symbols("l", integer=True, nonnegative=True)
    T = rho**level * T0 + rho * (rho**level - 1) / (rho - 1)  # of T' = rho (1 + T)
    assert sp.simplify(T.subs(level, 0) - T0) == 0
    assert sp.simplify(T.subs(level, level + 1) - rho * (1 + T)) == 0
    C = T.subs(T0, C0)
    deficit = sp.simplify(1 - (1 + C) / (1 + T))
    assert sp.simplify(deficit - rho**level * (T0 - C0) / (1 + T)) == 0
    below = (deficit / rho**level).subs({rho: sp.Rational(1, 3)})
    assert sp.simplify(sp.limit(below, level, sp.oo) - (T0 - C0) * sp.Rational(2, 3)) == 0
    above = sp.limit(deficit.subs(rho, 3), level, sp.oo)
    assert sp.simplify(above - (T0 - C0) / (T0 + sp.Rational(3, 2))) == 0
    at_border = sp.limit(T, rho, 1)
    assert sp.simplify(at_border - (T0 + level)) == 0


def test_the_border_is_the_formula_and_the_only_one() -> None:
    solutions = sp.solve(sp.Eq(sp.pi * (a**2 + (a - 1) ** 2) - 1, n), sp.Symbol("alpha", positive=True))
    formula = (1 + sp.sqrt(2 * (n + 1) / sp.pi - 1)) / 2
    assert any(sp.simplify(s - formula) == 0 for s in solutions)
    assert sp.simplify(formula.subs(n, sp.pi - 1) - 1) == 0
    for inputs in (64, 128, 512, 4096):
        alpha = critical_alpha(inputs)
        assert rate(alpha_beta(alpha), inputs) == pytest.approx(1, rel=1e-12, abs=0)
        assert rate(alpha_beta(alpha * 0.99), inputs) < 1 < rate(alpha_beta(alpha * 1.01), inputs)


def test_gamma_is_alpha_beta_times_a_number() -> None:
    g, plus, minus = sp.symbols("gamma plus minus", positive=True)  # W+ and |W-|, one of which is zero
    scaled = g * ((1 + 1 / g) * plus - (1 / g) * minus)
    assert sp.simplify((plus - minus) + g * plus - scaled) == 0
    root = (sp.pi + sp.sqrt(2 * sp.pi * (n + 1) - sp.pi**2)) / (n + 1 - sp.pi)
    border = (1 + sp.sqrt(2 * (n + 1) / sp.pi - 1)) / 2
    for inputs in (3, 10, 64, 512):
        exact = sp.N(root.subs(n, inputs), 30)
        assert abs(sp.N((1 / (border - 1)).subs(n, inputs), 30) - exact) < sp.Float("1e-25") * exact
        assert critical_gamma(inputs) == pytest.approx(float(exact), rel=1e-13, abs=0)
        found = critical_gamma(inputs)
        assert rate(gamma_rule(found), inputs) == pytest.approx(1, rel=1e-12, abs=0)
        assert rate(gamma_rule(found * 1.01), inputs) < 1 < rate(gamma_rule(found * 0.99), inputs)
        assert gamma_rule(found).kappa == pytest.approx(alpha_beta(1 + 1 / found).kappa, rel=1e-13, abs=0)
    assert critical_gamma(float("inf")) == 0


def test_published_values() -> None:
    assert critical_alpha(512) == pytest.approx(9.52, abs=0.005)
    assert critical_alpha(64) == pytest.approx(3.68, abs=0.005)


def test_the_implemented_layer_follows_the_recursion() -> None:
    """`apply_layer` without noise is T' = rho (1 + T) up to the one degree of freedom that ones take."""
    rng = np.random.default_rng(0)
    width = 4000
    pair = meanfield.pair_of(rng.standard_normal(width) + 1.0, rng.standard_normal(width) + 1.0)
    for alpha in (1.0, 3.0, 30.0):
        layer, state = alpha_beta(alpha), pair
        for _ in range(5):
            moved = meanfield.apply_layer(state, layer, width)
            expected = rate(layer, width) * (1 + state.spread) * (width - 1) / width
            assert math.isclose(moved.spread, expected, rel_tol=1e-12)
            state = moved
