(** * Birkhoff-Hopf contraction, with zeros and diagonal scalings (theorem [birkhoff-hopf])

    A nonnegative matrix [A] with any number of rows and columns contracts Hilbert's metric [d]: with
    [tau(A) = tanh(Delta(A) / 4)], [Delta(A)] the largest distance of two columns,

      - [tanh(d(A x, A y) / 4) <= tau(A) tanh(d(x, y) / 4)]   ([birkhoff_hopf]), the nonlinear contraction;
      - [d(A x, A y) <= tau(A) d(x, y)]                       ([birkhoff_hopf_linear]);
      - [d(A x, A y) <= Delta(A)]                             ([image_diameter]).

    Scalings and products are in [birkhoff_hopf_products.v]; that [tau(A)] is the best constant is in
    [birkhoff_hopf_sharp.v]. The exchange condition on zero patterns is not formalised.

    The proof on paper is in [proofs/test_birkhoff_hopf.py]. It bounds the derivative [g'] and integrates it
    over [0, log R]. Here the value at the end is bounded at once, which is algebra and gives the stronger,
    nonlinear form: see [core]. *)

From Coq Require Import Reals Lra Lia.
From ConeTheory Require Import vectors hilbert.
Open Scope R_scope.

(** ** The diameter and the coefficient *)

Definition diameter (m n : nat) (A : matrix) : R :=
  maximum2 n n (fun k l => hilbert m (column A k) (column A l)).

(** The diameter is finite where any two columns that are not zero have one support: if column [k] is positive
    in row [i], and column [l] somewhere, then column [l] is positive in row [i]. Zero rows and columns change
    nothing: they are as good as dropped. *)
Definition finite_diameter (m n : nat) (A : matrix) : Prop :=
  forall k, (k < n)%nat -> forall l, (l < n)%nat -> forall i, (i < m)%nat -> forall j, (j < m)%nat ->
    0 < A i k -> 0 < A j l -> 0 < A i l.

Lemma finite_diameter_dec m n A : {finite_diameter m n A} + {~ finite_diameter m n A}.
Proof.
  do 4 (apply all_below_dec; intros ?).
  match goal with |- {0 < ?a -> 0 < ?b -> 0 < ?c} + {_} =>
    destruct (Rlt_dec 0 a), (Rlt_dec 0 b), (Rlt_dec 0 c); (left; tauto) || (right; tauto)
  end.
Defined.

Definition tau (m n : nat) (A : matrix) : R :=
  if finite_diameter_dec m n A then tanh (diameter m n A / 4) else 1.

Lemma column_nonneg m n A k : nonneg_matrix m n A -> (k < n)%nat -> nonneg m (column A k).
Proof. intros P K i I. now apply P. Qed.

Lemma diameter_nonneg m n A : 0 <= diameter m n A.
Proof. apply maximum2_nonneg. Qed.

Lemma tau_bounds m n A : 0 <= tau m n A <= 1.
Proof.
  unfold tau. destruct finite_diameter_dec; [|lra]. assert (D := diameter_nonneg m n A).
  split; [apply tanh_nonneg; lra|left; apply tanh_lt_1].
Qed.

(** A bound on the coefficient from the columns, two at a time. *)
Lemma tau_le m n A c :
  finite_diameter m n A -> 0 <= c ->
  (forall k l, (k < n)%nat -> (l < n)%nat -> tanh (hilbert m (column A k) (column A l) / 4) <= c) ->
  tau m n A <= c.
Proof.
  intros F C B. unfold tau. destruct finite_diameter_dec; [|contradiction].
  destruct (diameter_nonneg m n A) as [P|<-].
  - destruct (maximum2_attained _ _ _ P) as [k [l [K [L E]]]].
    unfold diameter. rewrite E. now apply B.
  - replace (0 / 4) with 0 by field. rewrite tanh_0. exact C.
Qed.

(** Columns of a matrix of finite diameter satisfy [a_ik a_jl <= K a_jk a_il], [K = exp Delta]. *)
Lemma within_columns m n A k l :
  nonneg_matrix m n A -> finite_diameter m n A -> (k < n)%nat -> (l < n)%nat ->
  within m (exp (diameter m n A)) (column A k) (column A l).
Proof.
  intros P F K L i j I J.
  assert (Pk := column_nonneg m n A k P K). assert (Pl := column_nonneg m n A l P L).
  assert (E := exp_pos (diameter m n A)).
  assert (R : 0 <= exp (diameter m n A) * (column A k j * column A l i)).
  { apply Rmult_le_pos; [lra|apply Rmult_le_pos; auto]. }
  destruct (Pk i I) as [Aik|Z]; [|rewrite <- Z at 1; lra].
  destruct (Pl j J) as [Ajl|Z]; [|rewrite <- Z at 1; lra].
  (* Both columns are not zero, so they have one support. *)
  assert (S : same_support m (column A k) (column A l)).
  { intros h H. unfold column in *. split; intros Q.
    - exact (F k K l L h H j J Q Ajl).
    - exact (F l L k K h H i I Q Aik). }
  eapply Rle_trans; [exact (within_hilbert m _ _ Pk Pl S i j I J)|].
  apply Rmult_le_compat_r; [apply Rmult_le_pos; auto|].
  apply exp_le. exact (maximum2_ge n n (fun k l => hilbert m (column A k) (column A l)) k l K L).
Qed.

(** ** (a) No two images are farther apart than two columns *)

(** [(A x)_i (A y)_j = sum_kl a_ik a_jl x_k y_l <= K sum_kl a_jk a_il x_k y_l = K (A x)_j (A y)_i]. *)
Lemma columns_bound m n A K x y :
  nonneg n x -> nonneg n y ->
  (forall k l, (k < n)%nat -> (l < n)%nat -> within m K (column A k) (column A l)) ->
  within m K (times n A x) (times n A y).
Proof.
  intros X Y W i j I J. unfold times. rewrite !sum_times, <- sum_scale.
  apply sum_le. intros k HK. rewrite <- sum_scale. apply sum_le. intros l HL.
  assert (H := W k l HK HL i j I J). unfold column in H.
  replace (A i k * x k * (A j l * y l)) with (x k * y l * (A i k * A j l)) by ring.
  replace (K * (A j k * x k * (A i l * y l))) with (x k * y l * (K * (A j k * A i l))) by ring.
  apply Rmult_le_compat_l; [apply Rmult_le_pos; auto|exact H].
Qed.

Theorem image_diameter m n A x y :
  nonneg_matrix m n A -> finite_diameter m n A -> nonneg n x -> nonneg n y ->
  hilbert m (times n A x) (times n A y) <= diameter m n A.
Proof.
  intros P F X Y. rewrite <- (ln_exp (diameter m n A)).
  apply hilbert_le; try now apply (times_nonneg m n).
  - apply exp_nonneg_ge_1, diameter_nonneg.
  - apply columns_bound; trivial. intros k l K L. now apply within_columns.
Qed.

(** Images of vectors that are not zero have one support, so that their distance is finite. *)
Lemma positive_image m n A x i :
  nonneg_matrix m n A -> nonneg n x -> (i < m)%nat -> 0 < times n A x i ->
  exists k, (k < n)%nat /\ 0 < A i k /\ 0 < x k.
Proof.
  intros P X I Q.
  destruct (sum_positive_term n (fun k => A i k * x k)) as [k [K T]]; trivial.
  { intros k K. apply Rmult_le_pos; auto. }
  exists k. repeat split; trivial.
  - apply positive_product_l in T; auto.
  - rewrite Rmult_comm in T. apply positive_product_l in T; auto.
Qed.

Lemma image_positive m n A x i k :
  nonneg_matrix m n A -> nonneg n x -> (i < m)%nat -> (k < n)%nat -> 0 < A i k -> 0 < x k ->
  0 < times n A x i.
Proof.
  intros P X I K Q XK. apply Rlt_le_trans with (A i k * x k); [now apply Rmult_lt_0_compat|].
  apply (sum_term_le n (fun k => A i k * x k)); [exact K|].
  intros l L. apply Rmult_le_pos; auto.
Qed.

Lemma image_same_support m n A x y :
  nonneg_matrix m n A -> nonneg n x -> nonneg n y -> same_support n x y ->
  same_support m (times n A x) (times n A y).
Proof.
  intros P X Y S i I. split; intros Q.
  - destruct (positive_image m n A x i P X I Q) as [k [K [H XK]]].
    apply (image_positive m n A y i k); trivial. now apply S.
  - destruct (positive_image m n A y i P Y I Q) as [k [K [H YK]]].
    apply (image_positive m n A x i k); trivial. now apply S.
Qed.

Lemma finite_image_same_support m n A x y i j :
  nonneg_matrix m n A -> finite_diameter m n A -> nonneg n x -> nonneg n y -> (i < m)%nat -> (j < m)%nat ->
  0 < times n A x i -> 0 < times n A y j -> 0 < times n A y i.
Proof.
  intros P F X Y I J QX QY.
  destruct (positive_image m n A x i P X I QX) as [k [K [HK XK]]].
  destruct (positive_image m n A y j P Y J QY) as [l [L [HL YL]]].
  apply (image_positive m n A y i l); trivial. exact (F k K l L i I j J HK HL).
Qed.

(** ** (b) The contraction

    Let [m y <= x <= M y] with [M = rho^2 m], [u = x - m y], [v = M y - x]: nonnegative, and
    [(rho^2 - 1) m y = u + v], [(rho^2 - 1) x = rho^2 u + v]. With [P = (A u)_i], [P' = (A v)_i],
    [Q = (A u)_j], [Q' = (A v)_j] the quotient of [(A x)_i / (A y)_i] by [(A x)_j / (A y)_j] is
    [(rho^2 P + P') (Q + Q') / ((P + P') (rho^2 Q + Q'))], where [P Q' <= kappa^2 P' Q] by (a),
    [kappa^2 = exp Delta]. It is at most [((kappa rho + 1) / (kappa + rho))^2]: [exp] of the
    [g(log R) - g(0)] of the paper, maximised over the place where the interval of length [log R] lies.

    With [X = P Q'] and [Y = P' Q] the difference of the two sides below is [rho^2 - 1] times

      [(rho^2 + 1) (kappa^2 Y - X)  +  (kappa^2 - 1) (rho^2 P Q + P' Q') - 2 kappa rho (X - Y)],

    and the last difference is not negative either: [rho^2 P Q + P' Q' >= 2 rho sqrt(X Y)], and
    [kappa (X - Y) <= (kappa^2 - 1) sqrt(X Y)] as [(kappa^2 X - Y) (X - kappa^2 Y) <= 0]. *)
Lemma core kappa rho P P' Q Q' :
  1 <= kappa -> 1 <= rho -> 0 <= P -> 0 <= P' -> 0 <= Q -> 0 <= Q' ->
  P * Q' <= kappa * kappa * (P' * Q) ->
  (kappa + rho) * (kappa + rho) * ((rho * rho * P + P') * (Q + Q'))
  <= (kappa * rho + 1) * (kappa * rho + 1) * ((P + P') * (rho * rho * Q + Q')).
Proof.
  intros Hk Hr HP HP' HQ HQ' H.
  set (X := P * Q') in *. set (Y := P' * Q) in *.
  assert (HX : 0 <= X) by now apply Rmult_le_pos. assert (HY : 0 <= Y) by now apply Rmult_le_pos.
  assert (HZ : 0 <= P * Q) by now apply Rmult_le_pos. assert (HZ' : 0 <= P' * Q') by now apply Rmult_le_pos.
  assert (K1 : 1 <= kappa * kappa) by (replace 1 with (1 * 1) by ring; apply Rmult_le_compat; lra).
  assert (R1 : 1 <= rho * rho) by (replace 1 with (1 * 1) by ring; apply Rmult_le_compat; lra).
  set (Z := rho * rho * (P * Q) + P' * Q').
  assert (HZ0 : 0 <= Z).
  { apply Rplus_le_le_0_compat; [apply Rmult_le_pos; [apply Rmult_le_pos; lra|exact HZ]|exact HZ']. }
  assert (B0 : 0 <= (kappa * kappa - 1) * Z) by (apply Rmult_le_pos; lra).
  (* The last difference. *)
  assert (B : 2 * kappa * rho * (X - Y) <= (kappa * kappa - 1) * Z).
  { destruct (Rle_dec X Y) as [L|L].
    - assert (0 <= kappa * rho * (Y - X)) by (repeat apply Rmult_le_pos; lra). lra.
    - apply square_le; [exact B0|].
      (* AM-GM: 4 rho^2 X Y <= Z^2 *)
      assert (G : 4 * (rho * rho) * (X * Y) <= Z * Z).
      { assert (0 <= (rho * rho * (P * Q) - P' * Q') * (rho * rho * (P * Q) - P' * Q'))
          by exact (Rle_0_sqr _).
        replace (X * Y) with (P * Q * (P' * Q')) by (unfold X, Y; ring). unfold Z. lra. }
      (* kappa^2 (X - Y)^2 <= (kappa^2 - 1)^2 X Y *)
      assert (S : kappa * kappa * ((X - Y) * (X - Y)) <= (kappa * kappa - 1) * (kappa * kappa - 1) * (X * Y)).
      { assert (0 <= (kappa * kappa * X - Y) * (kappa * kappa * Y - X)); [|lra].
        apply Rmult_le_pos; [|lra].
        assert (1 * X <= kappa * kappa * X) by (apply Rmult_le_compat_r; lra). lra. }
      apply Rle_trans with (4 * (rho * rho) * ((kappa * kappa - 1) * (kappa * kappa - 1) * (X * Y))).
      + replace (2 * kappa * rho * (X - Y) * (2 * kappa * rho * (X - Y)))
          with (4 * (rho * rho) * (kappa * kappa * ((X - Y) * (X - Y)))) by ring.
        apply Rmult_le_compat_l; lra.
      + replace (4 * (rho * rho) * ((kappa * kappa - 1) * (kappa * kappa - 1) * (X * Y)))
          with ((kappa * kappa - 1) * (kappa * kappa - 1) * (4 * (rho * rho) * (X * Y))) by ring.
        replace ((kappa * kappa - 1) * Z * ((kappa * kappa - 1) * Z))
          with ((kappa * kappa - 1) * (kappa * kappa - 1) * (Z * Z)) by ring.
        apply Rmult_le_compat_l; [apply Rmult_le_pos; lra|exact G]. }
  assert (T : 0 <= (rho * rho - 1) * ((rho * rho + 1) * (kappa * kappa * Y - X)
                                      + ((kappa * kappa - 1) * Z - 2 * kappa * rho * (X - Y)))).
  { apply Rmult_le_pos; [lra|]. apply Rplus_le_le_0_compat; [apply Rmult_le_pos|]; lra. }
  replace ((kappa * rho + 1) * (kappa * rho + 1) * ((P + P') * (rho * rho * Q + Q')))
    with ((kappa + rho) * (kappa + rho) * ((rho * rho * P + P') * (Q + Q'))
          + (rho * rho - 1) * ((rho * rho + 1) * (kappa * kappa * Y - X)
                               + ((kappa * kappa - 1) * Z - 2 * kappa * rho * (X - Y))))
    by (unfold X, Y, Z; ring).
  lra.
Qed.

Lemma contraction_within m n A kappa rho x y :
  nonneg_matrix m n A -> 1 <= kappa -> 1 <= rho ->
  (forall k l, (k < n)%nat -> (l < n)%nat -> within m (kappa * kappa) (column A k) (column A l)) ->
  nonneg n x -> nonneg n y -> same_support n x y -> within n (rho * rho) x y ->
  within m ((kappa * rho + 1) / (kappa + rho) * ((kappa * rho + 1) / (kappa + rho)))
    (times n A x) (times n A y).
Proof.
  intros PA Hk Hr W X Y S D i j I J.
  destruct (between_multiples n _ x y X Y S D) as [c [C B]].
  apply Rmult_le_reg_l with ((kappa + rho) * (kappa + rho)); [apply Rmult_lt_0_compat; lra|].
  replace ((kappa + rho) * (kappa + rho)
           * ((kappa * rho + 1) / (kappa + rho) * ((kappa * rho + 1) / (kappa + rho))
              * (times n A x j * times n A y i)))
    with ((kappa * rho + 1) * (kappa * rho + 1) * (times n A x j * times n A y i)) by (field; lra).
  destruct Hr as [Hr|<-].
  - (* rho > 1 *)
    set (u := fun k => x k - c * y k). set (v := fun k => rho * rho * c * y k - x k).
    assert (U : nonneg n u) by (intros k K; destruct (B k K); unfold u; lra).
    assert (V : nonneg n v) by (intros k K; destruct (B k K); unfold v; lra).
    assert (R1 : 0 < rho * rho - 1).
    { assert (1 * 1 < rho * rho) by (apply Rmult_gt_0_lt_compat; lra). lra. }
    assert (Eu : forall h, times n A u h = times n A x h - c * times n A y h).
    { intros h. unfold u, times. rewrite <- sum_scale, <- sum_minus. apply sum_ext. intros. ring. }
    assert (Ev : forall h, times n A v h = rho * rho * c * times n A y h - times n A x h).
    { intros h. unfold v, times. rewrite <- sum_scale, <- sum_minus. apply sum_ext. intros. ring. }
    assert (T := core kappa rho (times n A u i) (times n A v i) (times n A u j) (times n A v j) Hk
                   ltac:(lra) (times_nonneg m n A u PA U i I) (times_nonneg m n A v PA V i I)
                   (times_nonneg m n A u PA U j J) (times_nonneg m n A v PA V j J)).
    assert (H : times n A u i * times n A v j <= kappa * kappa * (times n A v i * times n A u j)).
    { rewrite (Rmult_comm (times n A v i)). now apply (columns_bound m n A (kappa * kappa) u v U V W). }
    specialize (T H). rewrite !Eu, !Ev in T.
    apply Rmult_le_reg_l with ((rho * rho - 1) * (rho * rho - 1) * c); [repeat apply Rmult_lt_0_compat; lra|].
    set (a := times n A x i) in *. set (b := times n A y i) in *.
    set (a' := times n A x j) in *. set (b' := times n A y j) in *.
    replace (rho * rho * (a - c * b) + (rho * rho * c * b - a)) with ((rho * rho - 1) * a) in T by ring.
    replace (a' - c * b' + (rho * rho * c * b' - a')) with ((rho * rho - 1) * c * b') in T by ring.
    replace (a - c * b + (rho * rho * c * b - a)) with ((rho * rho - 1) * c * b) in T by ring.
    replace (rho * rho * (a' - c * b') + (rho * rho * c * b' - a')) with ((rho * rho - 1) * a') in T by ring.
    lra.
  - (* rho = 1: x = c y *)
    assert (E : forall h, times n A x h = c * times n A y h).
    { intros h. unfold times. rewrite <- sum_scale. apply sum_ext. intros k K.
      destruct (B k K). replace (x k) with (c * y k) by lra. ring. }
    rewrite !E. right. ring.
Qed.

(** Where the diameter is infinite, nothing is lost still: [(A x)_i (A y)_j <= R (A x)_j (A y)_i], term by
    term. *)
Lemma nonexpansive_within m n A r x y :
  nonneg_matrix m n A -> within n r x y -> within m r (times n A x) (times n A y).
Proof.
  intros P W i j I J. unfold times.
  rewrite (Rmult_comm (sum n (fun k => A j k * x k))), !sum_times, <- sum_scale.
  apply sum_le. intros k K. rewrite <- sum_scale. apply sum_le. intros l L.
  replace (A i k * x k * (A j l * y l)) with (A i k * A j l * (x k * y l)) by ring.
  replace (r * (A i k * y k * (A j l * x l))) with (A i k * A j l * (r * (x l * y k))) by ring.
  apply Rmult_le_compat_l; [apply Rmult_le_pos; auto|auto].
Qed.

Theorem nonexpansive m n A x y :
  nonneg_matrix m n A -> nonneg n x -> nonneg n y -> same_support n x y ->
  hilbert m (times n A x) (times n A y) <= hilbert n x y.
Proof.
  intros P X Y S. rewrite <- (ln_exp (hilbert n x y)).
  apply hilbert_le; try now apply (times_nonneg m n).
  - apply exp_nonneg_ge_1, hilbert_nonneg.
  - apply nonexpansive_within; trivial. now apply within_hilbert.
Qed.

(** In hyperbolic tangents the bound is a product. *)
Lemma tanh_composed a d (s := (exp (a / 2) * exp (d / 2) + 1) / (exp (a / 2) + exp (d / 2))) :
  0 <= a -> 0 <= d -> tanh (ln (s * s) / 4) = tanh (a / 4) * tanh (d / 4).
Proof.
  intros HA HD.
  assert (Hk : 1 <= exp (a / 2)) by (apply exp_nonneg_ge_1; lra).
  assert (Hr : 1 <= exp (d / 2)) by (apply exp_nonneg_ge_1; lra).
  assert (Hp : 0 < exp (a / 2) * exp (d / 2)) by (apply Rmult_lt_0_compat; lra).
  assert (Hs : 0 < s) by (apply Rdiv_lt_0_compat; lra).
  rewrite !tanh_quarter.
  replace (ln (s * s) / 2) with (ln s) by (rewrite ln_mult by lra; field).
  rewrite exp_ln by exact Hs. unfold s. field. repeat split; lra.
Qed.

Theorem birkhoff_hopf m n A x y :
  nonneg_matrix m n A -> nonneg n x -> nonneg n y -> same_support n x y ->
  tanh (hilbert m (times n A x) (times n A y) / 4) <= tau m n A * tanh (hilbert n x y / 4).
Proof.
  intros P X Y S. unfold tau. destruct (finite_diameter_dec m n A) as [F|F].
  - set (kappa := exp (diameter m n A / 2)). set (rho := exp (hilbert n x y / 2)).
    assert (Hk : 1 <= kappa) by (apply exp_nonneg_ge_1; assert (D := diameter_nonneg m n A); lra).
    assert (Hr : 1 <= rho) by (apply exp_nonneg_ge_1; assert (D := hilbert_nonneg n x y); lra).
    set (s := (kappa * rho + 1) / (kappa + rho)).
    assert (Hs : 1 <= s).
    { apply le_div; [lra|]. assert (0 <= (kappa - 1) * (rho - 1)) by (apply Rmult_le_pos; lra). lra. }
    assert (W : within m (s * s) (times n A x) (times n A y)).
    { apply contraction_within; trivial.
      - intros k l K L. unfold kappa. rewrite exp_half_square. now apply within_columns.
      - unfold rho. rewrite exp_half_square. now apply within_hilbert. }
    assert (H : hilbert m (times n A x) (times n A y) <= ln (s * s)).
    { apply hilbert_le; trivial; try now apply (times_nonneg m n).
      replace 1 with (1 * 1) by ring. apply Rmult_le_compat; lra. }
    rewrite <- (tanh_composed (diameter m n A) (hilbert n x y))
      by (apply diameter_nonneg || apply hilbert_nonneg).
    apply tanh_le. fold kappa rho s. lra.
  - rewrite Rmult_1_l. apply tanh_le. assert (N := nonexpansive m n A x y P X Y S). lra.
Qed.

(** The linear form: [tanh] is concave. *)
Corollary birkhoff_hopf_linear m n A x y :
  nonneg_matrix m n A -> nonneg n x -> nonneg n y -> same_support n x y ->
  hilbert m (times n A x) (times n A y) <= tau m n A * hilbert n x y.
Proof.
  intros P X Y S. assert (D := hilbert_nonneg n x y).
  assert (H : hilbert m (times n A x) (times n A y) / 4 <= tau m n A * (hilbert n x y / 4)); [|lra].
  apply tanh_le_inv. eapply Rle_trans; [now apply birkhoff_hopf|].
  apply tanh_concave; [apply tau_bounds|lra].
Qed.

Print Assumptions birkhoff_hopf.
