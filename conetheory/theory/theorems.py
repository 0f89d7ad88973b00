"""The theorems that the package rests on: statement, hypotheses, source; where each is proved, coded, tested.

From an entry to its proof, its functions and its tests is one step each; a test checks that every name in it
exists and that every proof file is an entry's.
"""

from __future__ import annotations

from conetheory.errors import InputError
from conetheory.theory.statement import Theorem
from conetheory.theory.statement import entry as _entry

_ENTRIES = (
    _entry(
        "birkhoff-hopf",
        "cone.projective_diameter cone.birkhoff_rate cone.hilbert_distance cone.contracted_diameter_upper",
        "test_cone.py",
        machine_checked="proofs/coq/birkhoff_hopf.v",
        title="Birkhoff-Hopf contraction, with zeros and diagonal scalings",
        statement="sup d(Ax, Ay)/d(x, y) = tau(A) = tanh(Delta(A)/4), Delta(A) the largest Hilbert distance "
        "of two columns; for every distance tanh(d(Ax, Ay)/4) <= tau(A) tanh(d(x, y)/4), sharp. tau(D A E) "
        "= tau(A) for positive diagonals D, E; tau(AB) <= tau(A) tau(B), so Delta(A D B) <= 4 artanh(tau(A) "
        "tau(B)).",
        hypotheses="A nonnegative; zero rows and columns dropped; a column that mixes zeros and positive "
        "entries makes Delta infinite and tau 1.",
        source="Birkhoff 1957; Hopf 1963; Seneta 1981, p. 108 (rectangular, zeros); the proof after Eveson "
        "and Nussbaum 1995",
        status="proved here",
    ),
    _entry(
        "metric-to-cosine",
        "cone.cosine_lower_from_diameter cone.deficit_upper_from_diameter",
        "test_cone.py",
        machine_checked="proofs/coq/metric_to_cosine.v",
        title="From the Hilbert metric to the cosine",
        statement="cos(u, v) >= 1/cosh(d/2) for nonnegative u, v at Hilbert distance d; attained.",
        hypotheses="u, v nonnegative, not zero, of one support.",
        source="the inequality of Kantorovich 1948 (Cassels in Watson 1955; Polya and Szego 1925); as an "
        "angle, the first antieigenvalue of diag(u/v): Gustafson 1968; in Hilbert's metric new here",
    ),
    _entry(
        "half-angle",
        "cone.cosine_lower_from_rates cone.deficit_upper_from_rates cone.product_diameter_upper",
        "test_cone.py",
        machine_checked="proofs/coq/half_angle.v",
        title="Half-angle theorem",
        statement="tan(angle(Px, Py)/2) <= tau(P) <= prod_l tau(A_l) for P = A_1 ... A_L; tau(A) is the "
        "supremum of the half-angle tangents of two columns over all positive row scalings.",
        hypotheses="A_l nonnegative, x, y nonnegative with Px, Py != 0; no limits, no common size, no "
        "positivity.",
        source="new here",
    ),
    _entry(
        "generators",
        "worstpair.worst_pair_cosine",
        "test_cone.py",
        machine_checked="proofs/coq/generators.v",
        title="The worst pair of generators is the worst pair",
        statement="If all pairs of generators of a cone have cosine >= m >= 0, so has every pair of its "
        "members: the exact worst cosine over nonnegative starts is that of two columns.",
        hypotheses="generators with pairwise nonnegative cosines, such as the columns of a nonnegative "
        "matrix.",
        source="close to Orlitzky 2020, on maximal angles between cones where they are not obtuse; the "
        "proof is elementary",
    ),
    _entry(
        "tau1",
        "ergodicity.tau_1 ergodicity.tau_1_signed_upper ergodicity.doeblin_upper",
        "test_ergodicity.py",
        machine_checked="proofs/coq/tau1.v",
        title="Dobrushin's coefficient, signed matrices included",
        statement="max |Mx|_1/|x|_1 over 1^T x = 0 is half the largest 1-norm distance of two columns; it "
        "is submultiplicative on matrices of equal column sums. For alpha Z+ - beta Z-, alpha - beta = 1, "
        "it is at most 2 alpha - 1, with equality (alpha > 1) iff for two columns j, k the supports of Z+_j "
        "+ Z-_k and of Z+_k + Z-_j are disjoint, as where all four parts have disjoint supports.",
        hypotheses="entries of either sign; all columns of the right factor of a product have the same sum; "
        "Z+, Z- column-stochastic, beta >= 0.",
        source="Dobrushin 1956, Section 1.4; Seneta 1979; the alpha-beta bound: new here",
    ),
    _entry(
        "scrambling",
        "pattern.scrambling ergodicity.tau_1",
        "test_pattern.py",
        title="The paper's Theorem 1: what is true of it, and the rate",
        statement="For column-stochastic Z: tau_1(Z) < 1 iff no two columns are orthogonal (Z is "
        "scrambling). If Z_n tends to a scrambling Z*, the columns of the product merge at least like prod "
        "tau_1(Z_n), geometrically with any rate above tau_1(Z*). Without a common column sum the same "
        "hypotheses do not suffice: of powers of [[1/2, 1], [0, 1]] the columns' cosine tends to 0.894, of "
        "[[1, 1], [0, 1]] they merge only like 1/(2 n^2); all columns of Z^n merge geometrically iff no "
        "other class of units has a spectral radius as large as the closed one's.",
        hypotheses="column-stochastic Z_n, as z+ without biases on live units; any nonnegative chain is "
        "after the h-transform, and then the hypotheses are asked of the transformed factors. For powers: Z "
        "scrambling, no zero column.",
        source="Hajnal 1958, Theorem 2, for scrambling; Sixt et al. 2020, Theorem 1, for the hypotheses; "
        "rate, examples and classes: new here",
    ),
    _entry(
        "h-transform",
        "htransform.h_transform",
        "test_ergodicity.py",
        title="Every nonnegative chain is a Markov chain",
        statement="With h_0 = 1, h_l = Z_l^T h_(l-1): S_l = D(h_(l-1)) Z_l D(h_l)^-1 is column-stochastic "
        "and Z_1 ... Z_L = S_1 ... S_L D(h_L).",
        hypotheses="Z_l nonnegative; columns with h_l = 0 are dropped.",
        source="the h-transform of Doob 1957; for relevance chains new here",
    ),
    _entry(
        "gaussian-law",
        "gaussian_law.gaussian_deficit_cdf gaussian_law.gaussian_deficit_quantile "
        "gaussian_law.gaussian_deficit_mean cosine.deficit_tail_bound cosine.deficit_upper "
        "cosine.deficit_mean_upper",
        "test_gaussian_law.py",
        title="The law of |cos| for Gaussian starts",
        statement="For v, w ~ N(0, I), |cos(Pv, Pw)| depends in law on the singular values of P only. With "
        "S = sum_(i>=2) (sigma_i/sigma_1)^2, for every spectrum: P(angle > t) <= erf(sqrt(S/2)/tan(t/2)); "
        "the median deficit is at most 2 T^2/(1 + T^2), T^2 = 2.198 S, the mean at most 1.596 sqrt(S). As S "
        "-> 0 the median is between 2 S and 4.396 S, the mean between 1.273 sqrt(S) and 1.596 sqrt(S).",
        hypotheses="P any real matrix, not zero, signed chains included; independent standard Gaussian "
        "starts.",
        source="new here; the law of directions: Tyler 1987, Section 1",
    ),
    _entry(
        "collatz-wielandt",
        "spectrum.perron_root",
        "test_spectrum.py",
        title="Collatz-Wielandt quotients and when power iteration may stop",
        statement="min_i (Ax)_i/x_i <= rho(A) <= max_i (Ax)_i/x_i for x > 0; the ends move monotonically, "
        "their log ratio is d(Ax, x) and contracts by tau(A). Relative width <= rtol gives rho to "
        "rtol.",
        hypotheses="A nonnegative and square, x > 0 on the rows left after dropping zero rows; the lower "
        "end needs x >= 0 only.",
        source="Collatz 1942, Satz 1; Wielandt 1950, Satz II",
    ),
    _entry(
        "z-plus-image-dependence",
        "cone.projective_diameter innerscalings.diameter_sup_over_inner_scalings_is_finite",
        "test_cone.py",
        title="What of the z+ rate depends on the image",
        statement="Z_l = diag(a) (W+)^T diag(1/(W+ a)) has the diameter of (W+)^T on the active units: it "
        "depends on which units are active and not on how much. In a block only the inner diagonals matter; "
        "sup_D Delta(A D B) is finite exactly under an exchange condition on the zero patterns of A and B "
        "(in the proof).",
        hypotheses="z+ rule without bias, a >= 0; units with a = 0 or W+ a = 0 dropped.",
        source="new here",
    ),
    _entry(
        "mean-field",
        "meanfield.apply_layer meanfield.propagate meanfield.pair_of bundle.reduced_layer "
        "randomlayers.rate randomlayers.arc_cosine_deficit",
        "test_meanfield.py",
        title="Mean field of random layers, and the arc-cosine map",
        statement="For independent Gaussian rows (S_u, S_v, |u|^2, |v|^2, <u,v>) is a Markov chain with an "
        "explicit step; noise-free T' = (1 - 1/N) rho (1 + T), rho = kappa/n. With ReLU and zero mean "
        "wide layers map c to (sqrt(1 - c^2) + c (pi - arccos c))/pi, and 1 - c_l ~ 9 pi^2/(2 l^2).",
        hypotheses="entries independent with one mean and variance; Gaussian, or wide inputs (central "
        "limit); the arc-cosine map needs mean zero and many rows.",
        source="new here; arc-cosine: Cho and Saul 2009, eq. (6)",
    ),
    _entry(
        "relu-pair",
        "relupair.relu_pair_step relupair.relu_rate relupair.relu_pair_of rectified.rectified",
        "test_relupair.py",
        title="What weight means add to the arc-cosine map",
        statement="Layers of mean m, variance v, then a ReLU: with h = sqrt(n) m s/sqrt(v) the cosine s "
        "with ones and the deficit eps move by explicit moments of rectified Gaussian pairs. With eta the "
        "shift of h within a merged pair and eta/sqrt(eps) -> 0, eps is multiplied by r = Phi(h)/((h^2 + 1) "
        "Phi(h) + h phi(h)), below one iff m > 0; as eps -> 0 at a fixed point h > 0, eta^2/eps shrinks by "
        "a factor below 1/(1 + h^2) a layer. A threshold at a quantile, of value t != 0, takes the root of "
        "eps, so that it does not go to zero.",
        hypotheses="independent Gaussian weights, or wide inputs (central limit), layers independent of each "
        "other; many rows; forward masks and activations independent of the relevance.",
        source="new here; Price 1958 for the covariance derivative; m = 0: Cho and Saul 2009, eq. (6)",
    ),
    _entry(
        "critical-alpha",
        "randomlayers.critical_alpha randomlayers.critical_gamma randomlayers.alpha_beta "
        "randomlayers.gamma_rule randomlayers.rate",
        "test_meanfield.py",
        title="Critical alpha",
        statement="kappa = pi (alpha^2 + beta^2) - 1. In the wide-layer recursion the deficit decays "
        "geometrically with rate rho = kappa/n if rho < 1, like 1/l if rho = 1, and not to zero if rho "
        "> 1; the border is alpha* = (1 + sqrt(2 (n + 1)/pi - 1))/2. W + gamma W+ is gamma times alpha-beta "
        "with alpha = 1 + 1/gamma, so that its border is gamma* = 1/(alpha* - 1).",
        hypotheses="independent Gaussian weights, alpha - beta = 1, width n; the recursion of wide layers, "
        "two vectors that are not parallel, of non-zero sums; gamma > 0, n > pi - 1. For a finite width the "
        "border is a cross-over.",
        source="new here",
    ),
    _entry(
        "local-csc-certificate",
        "cosine.deficit_upper enclosure.stable_rank_excess_upper enclosure.subtraction_free_factor",
        "test_enclosure.py",
        title="Certificate for local CSC",
        statement="With probability >= 1 - d over Gaussian starts |cos_p| >= cos t, tan(t/2) = "
        "sqrt(S_p/2)/erfinv(d), with S_p enclosed from the computed rows P_p of the chain at position p.",
        hypotheses="one position, one pair; for a subtraction-free chain the float64 enclosure of S_p is "
        "rigorous.",
        source="new here",
    ),
    _entry(
        "two-scale",
        "twoscale twoscale.location_chain twoscale.closure_errors",
        "test_twoscale.py",
        status="estimate",
        title="Two scales: channels collapse, location weights mix",
        statement="r(p) = s(p) c(p) + eta(p) is carried by s' = T s + carried part, T a Markov matrix on "
        "positions for nonnegative chains; the new deviation is the injection sum_q (s(q) - s'(p)) "
        "M_pq c_q plus what of M eta is off its own direction.",
        hypotheses="the identity and the error terms of the closure are exact for any linear chain; that "
        "random directions of the measured coherence stand in for those of the deviations is an estimate.",
        source="new here",
    ),
    _entry(
        "cone-composition",
        "generators.composed_diameter_upper generators.radius_upper generators.diameter_upper "
        "cone.contracted_diameter_upper",
        "../certify/test_blocks.py",
        title="Composition of the cones at the locations of a layer",
        statement="Delta({sum_q A_q x_q : x_q in K_q}) <= Delta([A_q w_q]_q) + 2 max_q 4 artanh(tau(A_q) "
        "tanh(R_q/4)), R_q the Hilbert radius of K_q around w_q. No bound by the tau(A_q) and Delta(K_q) "
        "alone exists.",
        hypotheses="A_q nonnegative, K_q convex cones of nonnegative vectors, R_q finite; the fields of "
        "different locations need not agree.",
        source="new here",
    ),
    _entry(
        "image-free-blocks",
        "innerscalings.diameter_sup_over_inner_scalings_is_finite cone.contracted_diameter_upper "
        "generators.diameter_upper",
        "../certify/test_blocks.py",
        title="Which blocks of two layers are bounded for all positive inner scalings",
        statement="sup_D Delta(A D B) over positive diagonals D is finite iff Delta(A) or Delta(B) is, and "
        "at most 4 artanh(tau(A) tau(B)).",
        hypotheses="A, B nonnegative; every inner unit alive in both: no zero column of A, no zero row of B.",
        source="new here",
    ),
    _entry(
        "image-free-depth",
        "innerscalings.chain_diameter_sup_is_finite cone.product_diameter_upper",
        "test_innerscalings.py",
        title="No number of layers is bounded for all positive inner scalings unless one layer is",
        statement="sup Delta(A_1 D_1 A_2 ... D_(L-1) A_L) over positive diagonals D_l is finite iff "
        "Delta(A_l) is for one l, and at most 4 artanh(prod tau(A_l)).",
        hypotheses="A_l nonnegative; every unit alive: no zero row or column in any A_l (units on no path "
        "of the chain are dropped first, which changes no product).",
        source="new here",
    ),
    _entry(
        "column-angles",
        "columns.mean_squared_sine columns.column_deficit_estimate",
        "../saliency/test_classes.py",
        title="The spectrum says how far apart the maps of two classes are",
        statement="The mean of sin^2 over pairs of the n columns of C, weighted by their squared lengths, "
        "is at least n/(n - 1) (1 - 1/PR), PR = (sum s_k^2)^2 / sum s_k^4; with equality iff the columns "
        "are of one length, to which they may be scaled, or all parallel.",
        hypotheses="n >= 2 columns, none of them zero. For the maps of classes: the chain with its channels "
        "summed, for any method that is linear in the relevance.",
        source="new here; for columns of one length sum s_k^4 is the frame potential of Benedetto and "
        "Fickus 2003, and the bound of Welch 1974 follows",
    ),
    _entry(
        "second-moment",
        "secondmoment secondmoment.handed_over secondmoment.injected secondmoment.local_spectrum "
        "sampledspectrum.true_participation_estimate",
        "../predict/test_second_moment.py",
        status="estimate",
        title="Second moments of relevance, from cut to cut",
        statement="With r = s c + eta, <b, c> = 1, <b, eta> = 0, K = Cov s and V = Cov eta: one step makes "
        "K' = t K t^T + psi V psi^T, Cov eta' = E K E^T + F V F^T, Cov r' = D K D^T + M V M^T, plus cross "
        "terms in Cov(s, eta). The closure keeps v = diag V only; a step below a white start K' is exact for "
        "b = c/|c|^2.",
        hypotheses="the step is exact for any linear chain; that deviations of different units and locations "
        "are uncorrelated, and uncorrelated with s, is an estimate whose omitted terms are in the proof.",
        source="new here",
    ),
    _entry(
        "origin-overlap",
        "origin.overlap",
        "../predict/test_origin.py",
        title="What channels can tell apart is where their relevance comes from",
        statement="For white starts P P^T = A + T: A_ij = c_i c_j sum_q f_i f_j / |c0|^2 is the overlap of "
        "the origins f_i of the channels, T the Gram matrix on starts orthogonal to c0(q) at every q.",
        hypotheses="any linear chain, any field c0, c_i != 0 for f_i; it is a distribution for nonnegative "
        "chains and c0. At a cut with Cov(s, eta) = 0 the same with K in the place of 1/|c0|^2.",
        source="new here",
    ),
    _entry(
        "gradient-expansion",
        "origin.moments origin.remainder_upper",
        "../predict/test_origin.py",
        title="Below the collapse relevance is the value and the gradient of one field",
        statement="A start (s + g.(q - m) + rho(q)) c0(q) + eta(q) arrives as s c + G g + R + C eta; |R| <= "
        "(H/2) V componentwise if |rho| <= H |q - m|^2 / 2, V from six images of c0; attained.",
        hypotheses="the expansion: any linear chain; the bound: a nonnegative chain and c0 >= 0, exact "
        "arithmetic.",
        source="new here; Taylor's theorem",
    ),
    _entry(
        "origin-law",
        "origin.origin_squares origin.origin_spectrum origin.white_field_covariance",
        "../predict/test_origin.py",
        title="The spectrum of Gaussian origins",
        statement="The covariance is [c G] B [c G]^T, B = diag(1, Sigma^-1/2)/(4 pi sqrt(det Sigma) |c0|^2), "
        "its spectrum sigma_1 (1, sqrt(lambda_1), sqrt(lambda_2)), lambda of Sigma^-1 G^T G/(2 |c|^2): half "
        "the share of the variance of the origin that the channel explains.",
        hypotheses="Gaussian origins of one covariance, above a pixel squared and not cut by a border; |c0| "
        "constant over them; leading order in the squared distances of mean origins over Sigma; T = 0.",
        source="new here; the Gaussian shape of receptive fields: Luo et al. 2016",
    ),
    _entry(
        "origin-walk",
        "walk walk.walk_step walk.kernel_variances walk.thinned_kappa",
        "../predict/test_walk.py",
        title="Where kernels are the same everywhere, relevance walks",
        statement="The moments c, X, Y, XX, XY, YY of the origin, counted from each place, close in every "
        "layer: six numbers a channel and phase. A nonnegative chain's origin is a random walk of the "
        "kernels' steps; where channels mix those above alike, each layer adds its step's variance, and only "
        "the lowest layer's mean steps differ between channels.",
        hypotheses="kernels the same everywhere: flat activations, away from borders; the walk: a "
        "nonnegative chain. That a network's activations are flat is no part of it.",
        source="new here; receptive fields as walks: Luo et al. 2016",
    ),
    _entry(
        "conv-two-scales",
        "convchains.walk_layer convchains.walk_layers convchains.white_walk",
        "test_convchains.py",
        title="Random convolutions: location weights walk, channels spread by kappa/n and follow",
        statement="Given the layer above, channels are independent with mean m n sum s_x and covariance v "
        "sum <r_x, r_y>; over the means T' = (kappa/n) sum t_x t_y (1 + T), and n (1 - |cos|) -> (kappa/2) "
        "|t_x - t_y|^2, t the shares of the taps in a start's location weights.",
        hypotheses="independent weights of one mean m != 0 and variance; many channels below; the recursion "
        "leaves fluctuations of s out.",
        source="new here",
    ),
    _entry(
        "power-law",
        "convchains.deficit_exponent convchains.slowest_rate convchains.walk_layers",
        "test_convchains.py",
        title="A power law within a resolution",
        statement="Location weights of a walk with step variance a have variance ~ (4 pi a l)^(-d/2), their "
        "gradient 1/(2 a l) of it: the scale of the deficit falls like l^-1 for zero-mean starts and "
        "l^-(1 + d/2) for positive ones, until l ~ side^2, and exponentially from there on.",
        hypotheses="symmetric taps, periodic grid, leading order in 1/l and kappa/n.",
        source="new here; local limit theorem",
    ),
    _entry(
        "softmax-diameter",
        "attention.softmax_diameter attention.softmax_diameter_upper attention.rollout_diameter_upper "
        "attention.rollout_tau_1_upper",
        "test_attention.py",
        title="The diameter of attention, and of rollout",
        statement="For A = softmax(S) by rows, Delta(A) = max (S_ik - S_jk - S_il + S_jl): at most 4 b for "
        "logits in [-b, b], and at most c times the product of the diameters of queries and of keys for S = "
        "c Q K^T. For H a mean of softmaxes of n tokens, logits in [-b, b], Delta((H + I)/2) <= 2 log(1 + n "
        "e^(2b)), sharp, and tau_1 of it by rows is at most 1 - n / (2 (1 + (n - 1) e^(2b))).",
        hypotheses="no mask; in the first sentence keys masked for all queries alike are left out, and any "
        "other mask that leaves every query a key makes Delta(A) infinite.",
        source="new here; by the invariance of Delta under diagonal scalings (Birkhoff 1957); that deep "
        "attention loses rank: Dong et al. 2021",
    ),
)

THEOREMS: dict[str, Theorem] = {entry.id: entry for entry in _ENTRIES}


def theorem(id: str) -> Theorem:
    """The entry with this id.

    Parameters
    ----------
    id
        as `conetheory theorems` lists it.

    Returns
    -------
    Theorem
        the entry.

    Raises
    ------
    InputError
        with the ids there are.
    """
    if id not in THEOREMS:
        raise InputError(f"no theorem {id!r}; there are: {', '.join(THEOREMS)}")
    return THEOREMS[id]
