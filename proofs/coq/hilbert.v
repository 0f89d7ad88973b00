(** * Hilbert's metric on nonnegative vectors, and the hyperbolic functions of it

    [hilbert n x y] is [d(x, y) = log max_(i,j) x_i y_j / (x_j y_i)], the maximum over the common support of
    [x] and [y]. It is a distance of rays where the two have one support ([same_support]) and is only used
    there; elsewhere the paper's [d] is infinite. *)

From Coq Require Import Reals Lra Lia.
From ConeTheory Require Import vectors.
Open Scope R_scope.

Definition log_ratio (x y : vector) (i j : nat) : R :=
  if Rlt_dec 0 (x i * y j * (x j * y i)) then ln (x i * y j / (x j * y i)) else 0.

(** The pairs [i = j] have ratio 1 and logarithm 0, so that the maximum is that of the paper. *)
Definition hilbert (n : nat) (x y : vector) : R := maximum2 n n (log_ratio x y).

(** [d(x, y) <= log r], without logarithms or quotients. *)
Definition within (n : nat) (r : R) (x y : vector) : Prop :=
  forall i j, (i < n)%nat -> (j < n)%nat -> x i * y j <= r * (x j * y i).

Lemma hilbert_nonneg n x y : 0 <= hilbert n x y.
Proof. apply maximum2_nonneg. Qed.

Lemma exp_nonneg_ge_1 t : 0 <= t -> 1 <= exp t.
Proof. intros [T|<-]; [left; rewrite <- exp_0; now apply exp_increasing|rewrite exp_0; lra]. Qed.

Lemma exp_le t u : t <= u -> exp t <= exp u.
Proof. intros [T|<-]; [left; now apply exp_increasing|right; reflexivity]. Qed.

Lemma ln_le t u : 0 < t -> t <= u -> ln t <= ln u.
Proof. intros P [T|<-]; [left; now apply ln_increasing|right; reflexivity]. Qed.

Lemma exp_half_square d : exp (d / 2) * exp (d / 2) = exp d.
Proof. rewrite <- exp_plus. f_equal. field. Qed.

Lemma div_le a b c : 0 < b -> a <= c * b -> a / b <= c.
Proof.
  intros B H. apply Rmult_le_reg_r with b; [exact B|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra. exact H.
Qed.

Lemma le_div a b c : 0 < b -> c * b <= a -> c <= a / b.
Proof.
  intros B H. apply Rmult_le_reg_r with b; [exact B|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra. exact H.
Qed.

Lemma positive_product_l a b : 0 <= a -> 0 < a * b -> 0 < a.
Proof. intros [A|<-] P; [exact A|lra]. Qed.

(** A ratio on the common support is a lower bound. *)
Lemma hilbert_ge n x y i j :
  (i < n)%nat -> (j < n)%nat -> 0 < x i -> 0 < y j -> 0 < x j -> 0 < y i ->
  ln (x i * y j / (x j * y i)) <= hilbert n x y.
Proof.
  intros I J XI YJ XJ YI. eapply Rle_trans; [|exact (maximum2_ge n n (log_ratio x y) i j I J)].
  unfold log_ratio. destruct (Rlt_dec 0 (x i * y j * (x j * y i))) as [_|N]; [right; reflexivity|].
  exfalso. apply N. repeat apply Rmult_lt_0_compat; assumption.
Qed.

Lemma hilbert_le n r x y :
  nonneg n x -> nonneg n y -> 1 <= r -> within n r x y -> hilbert n x y <= ln r.
Proof.
  intros X Y R W. assert (L : 0 <= ln r) by (rewrite <- ln_1; apply ln_le; lra).
  apply maximum2_le; [exact L|]. intros i j I J. unfold log_ratio.
  destruct (Rlt_dec 0 (x i * y j * (x j * y i))) as [P|_]; [|exact L].
  assert (P1 : 0 < x i * y j) by (apply positive_product_l in P; auto using Rmult_le_pos).
  assert (P2 : 0 < x j * y i).
  { rewrite Rmult_comm in P. apply positive_product_l in P; auto using Rmult_le_pos. }
  apply ln_le; [now apply Rdiv_lt_0_compat|]. apply div_le; auto.
Qed.

Lemma within_hilbert n x y :
  nonneg n x -> nonneg n y -> same_support n x y -> within n (exp (hilbert n x y)) x y.
Proof.
  intros X Y S i j I J.
  assert (E := exp_pos (hilbert n x y)).
  assert (P : 0 <= exp (hilbert n x y) * (x j * y i)).
  { apply Rmult_le_pos; [lra|apply Rmult_le_pos; auto]. }
  destruct (X i I) as [XI|<-]; [|lra]. destruct (Y j J) as [YJ|<-]; [|lra].
  assert (YI := proj1 (S i I) XI). assert (XJ := proj2 (S j J) YJ).
  assert (Q : 0 < x j * y i) by now apply Rmult_lt_0_compat.
  assert (H := exp_le _ _ (hilbert_ge n x y i j I J XI YJ XJ YI)).
  rewrite exp_ln in H by (apply Rdiv_lt_0_compat; [now apply Rmult_lt_0_compat|exact Q]).
  apply Rmult_le_compat_r with (r := x j * y i) in H; [|lra].
  unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l, Rmult_1_r in H by lra. exact H.
Qed.

Lemma log_ratio_sym x y i j : log_ratio x y i j = log_ratio y x j i.
Proof.
  unfold log_ratio. rewrite (Rmult_comm (y j)), (Rmult_comm (y i)). reflexivity.
Qed.

Lemma hilbert_sym n x y : hilbert n x y = hilbert n y x.
Proof.
  apply Rle_antisym; apply maximum2_le; try apply maximum2_nonneg; intros i j I J;
    rewrite log_ratio_sym; now apply (maximum2_ge n n).
Qed.

(** Between vectors of one support, [x] lies between two multiples of [y] whose quotient is [r = exp d]: take
    the place where [x / y] is smallest. *)
Lemma smallest_ratio n x y :
  nonneg n x -> nonneg n y -> same_support n x y ->
  (forall i, (i < n)%nat -> x i = 0 /\ y i = 0) \/
  exists k, (k < n)%nat /\ 0 < x k /\ 0 < y k /\ forall i, (i < n)%nat -> x k * y i <= x i * y k.
Proof.
  intros X Y S. induction n as [|n IH]; [left; lia|].
  destruct (Rlt_dec 0 (x n)) as [XN|XN].
  - assert (YN : 0 < y n) by (apply S; auto).
    destruct IH as [Z|[k [K [XK [YK M]]]]]; try (intros i I; auto with arith).
    + right. exists n. repeat split; auto. intros i I.
      destruct (Nat.eq_dec i n) as [->|]; [lra|]. destruct (Z i) as [-> ->]; [lia|lra].
    + right. destruct (Rle_dec (x k * y n) (x n * y k)) as [L|L].
      * exists k. repeat split; auto. intros i I.
        destruct (Nat.eq_dec i n) as [->|]; [exact L|apply M; lia].
      * exists n. repeat split; auto. intros i I.
        destruct (Nat.eq_dec i n) as [->|]; [lra|].
        assert (H : x k * y i <= x i * y k) by (apply M; lia).
        assert (0 <= y i) by auto. assert (0 <= x i) by auto.
        apply Rmult_le_reg_r with (y k); [exact YK|].
        apply Rle_trans with (x k * y i * y n).
        -- replace (x n * y i * y k) with (x n * y k * y i) by ring.
           replace (x k * y i * y n) with (x k * y n * y i) by ring.
           apply Rmult_le_compat_r; lra.
        -- replace (x i * y n * y k) with (x i * y k * y n) by ring. apply Rmult_le_compat_r; lra.
  - assert (XZ : x n = 0) by (destruct (X n); auto; lra).
    assert (YZ : y n = 0).
    { destruct (Y n) as [P|]; auto. exfalso. apply XN, S; auto. }
    destruct IH as [Z|[k [K [XK [YK M]]]]]; try (intros i I; auto with arith).
    + left. intros i I. destruct (Nat.eq_dec i n) as [->|]; [auto|apply Z; lia].
    + right. exists k. repeat split; auto. intros i I.
      destruct (Nat.eq_dec i n) as [->|]; [rewrite XZ, YZ; lra|apply M; lia].
Qed.

Lemma between_multiples n r x y :
  nonneg n x -> nonneg n y -> same_support n x y -> within n r x y ->
  exists m, 0 < m /\ forall i, (i < n)%nat -> m * y i <= x i <= r * m * y i.
Proof.
  intros X Y S W. destruct (smallest_ratio n x y X Y S) as [Z|[k [K [XK [YK M]]]]].
  - exists 1. split; [lra|]. intros i I. destruct (Z i I) as [-> ->]. lra.
  - exists (x k / y k). split; [now apply Rdiv_lt_0_compat|]. intros i I.
    assert (0 < / y k) by now apply Rinv_0_lt_compat. split; apply Rmult_le_reg_r with (y k); trivial.
    + replace (x k / y k * y i * y k) with (x k * y i) by (field; lra). auto.
    + replace (r * (x k / y k) * y i * y k) with (r * (x k * y i)) by (field; lra). apply W; auto.
Qed.

(** ** Hyperbolic functions *)

Lemma tanh_exp t : tanh t = (exp (2 * t) - 1) / (exp (2 * t) + 1).
Proof.
  unfold tanh, sinh, cosh.
  replace (2 * t) with (t + t) by ring. rewrite exp_plus, exp_Ropp.
  assert (P := exp_pos t).
  assert (0 < exp t * exp t) by now apply Rmult_lt_0_compat.
  field. repeat split; try lra.
Qed.

(** With [s = exp(d / 2)]: [tanh(d / 4) = (s - 1) / (s + 1)] and [cosh(d / 2) = (s^2 + 1) / (2 s)]. *)
Lemma tanh_quarter d : tanh (d / 4) = (exp (d / 2) - 1) / (exp (d / 2) + 1).
Proof. rewrite tanh_exp. replace (2 * (d / 4)) with (d / 2) by field. reflexivity. Qed.

Lemma cosh_half d : cosh (d / 2) = (exp (d / 2) * exp (d / 2) + 1) / (2 * exp (d / 2)).
Proof. unfold cosh. rewrite exp_Ropp. assert (P := exp_pos (d / 2)). field. lra. Qed.

(** [s -> (s - 1) / (s + 1)] increases. *)
Lemma quotient_le s t : 0 < s -> s <= t -> (s - 1) / (s + 1) <= (t - 1) / (t + 1).
Proof.
  intros S T. apply div_le; [lra|].
  replace ((t - 1) / (t + 1) * (s + 1)) with (((t - 1) * (s + 1)) / (t + 1)) by (field; lra).
  apply le_div; lra.
Qed.

Lemma tanh_le t u : t <= u -> tanh t <= tanh u.
Proof. intros T. rewrite !tanh_exp. apply quotient_le; [apply exp_pos|apply exp_le; lra]. Qed.

Lemma tanh_lt_1 t : tanh t < 1.
Proof.
  rewrite tanh_exp. assert (P := exp_pos (2 * t)).
  apply Rmult_lt_reg_r with (exp (2 * t) + 1); [lra|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

Lemma tanh_0 : tanh 0 = 0.
Proof. rewrite tanh_exp, Rmult_0_r, exp_0. field. Qed.

Lemma tanh_nonneg t : 0 <= t -> 0 <= tanh t.
Proof. intros T. rewrite <- tanh_0. now apply tanh_le. Qed.

Lemma tanh_lt t u : t < u -> tanh t < tanh u.
Proof.
  intros T. rewrite !tanh_exp. assert (P := exp_pos (2 * t)).
  assert (E : exp (2 * t) < exp (2 * u)) by (apply exp_increasing; lra).
  apply Rmult_lt_reg_r with ((exp (2 * t) + 1) * (exp (2 * u) + 1)); [apply Rmult_lt_0_compat; lra|].
  replace ((exp (2 * t) - 1) / (exp (2 * t) + 1) * ((exp (2 * t) + 1) * (exp (2 * u) + 1)))
    with ((exp (2 * t) - 1) * (exp (2 * u) + 1)) by (field; lra).
  replace ((exp (2 * u) - 1) / (exp (2 * u) + 1) * ((exp (2 * t) + 1) * (exp (2 * u) + 1)))
    with ((exp (2 * u) - 1) * (exp (2 * t) + 1)) by (field; lra).
  lra.
Qed.

Lemma tanh_le_inv t u : tanh t <= tanh u -> t <= u.
Proof.
  intros H. destruct (Rle_dec t u) as [L|L]; [exact L|].
  assert (tanh u < tanh t) by (apply tanh_lt; lra). lra.
Qed.

Lemma cosh_pos t : 0 < cosh t.
Proof. unfold cosh. assert (P := exp_pos t). assert (Q := exp_pos (- t)). lra. Qed.

Lemma derivable_pt_lim_tanh t : derivable_pt_lim tanh t (/ (cosh t * cosh t)).
Proof.
  assert (C := cosh_pos t).
  assert (E : / (cosh t * cosh t) = (cosh t * cosh t - sinh t * sinh t) / (cosh t)²).
  { replace (cosh t * cosh t - sinh t * sinh t) with 1; [unfold Rsqr; field; lra|].
    assert (X : exp t * exp (- t) = 1) by (rewrite <- exp_plus, Rplus_opp_r; apply exp_0).
    unfold cosh, sinh. replace 1 with (exp t * exp (- t)) at 1. field. }
  rewrite E. apply derivable_pt_lim_div; [apply derivable_pt_lim_sinh|apply derivable_pt_lim_cosh|lra].
Qed.

Lemma cosh_le t u : 0 <= t -> t <= u -> cosh t <= cosh u.
Proof.
  intros T U. unfold cosh.
  assert (P := exp_pos t). assert (Q := exp_pos u). rewrite !exp_Ropp.
  assert (E := exp_le t u U). assert (E1 := exp_nonneg_ge_1 t T).
  assert (E2 : 1 <= exp t * exp u) by (rewrite <- exp_plus; apply exp_nonneg_ge_1; lra).
  assert (H : 0 <= (exp u - exp t) * (1 - / (exp t * exp u))).
  { apply Rmult_le_pos; [lra|]. assert (/ (exp t * exp u) <= / 1) by (apply Rinv_le_contravar; lra). lra. }
  replace ((exp u - exp t) * (1 - / (exp t * exp u)))
    with (exp u + / exp u - (exp t + / exp t)) in H by (field; split; lra).
  lra.
Qed.

(** [tanh] is concave on the nonnegative numbers, and [tanh 0 = 0]: [c tanh t <= tanh(c t)]. *)
Lemma tanh_concave c t : 0 <= c <= 1 -> 0 <= t -> c * tanh t <= tanh (c * t).
Proof.
  intros C [T|<-]; [|rewrite !Rmult_0_r, tanh_0; lra].
  set (f := fun s => tanh (c * s) - c * tanh s).
  set (f' := fun s => c * / (cosh (c * s) * cosh (c * s)) - c * / (cosh s * cosh s)).
  destruct (MVT_cor2 f f' 0 t T) as [s [E S]].
  - intros s _. unfold f, f'. apply derivable_pt_lim_minus.
    + replace (c * / (cosh (c * s) * cosh (c * s))) with (/ (cosh (c * s) * cosh (c * s)) * (c * 1)) by ring.
      apply (derivable_pt_lim_comp (fun s => c * s) tanh).
      * apply derivable_pt_lim_scal, derivable_pt_lim_id.
      * apply derivable_pt_lim_tanh.
    + apply derivable_pt_lim_scal, derivable_pt_lim_tanh.
  - assert (C1 := cosh_pos (c * s)). assert (C2 := cosh_pos s).
    assert (L : cosh (c * s) <= cosh s).
    { apply cosh_le; [apply Rmult_le_pos; lra|].
      rewrite <- (Rmult_1_l s) at 2. apply Rmult_le_compat_r; lra. }
    assert (M : cosh (c * s) * cosh (c * s) <= cosh s * cosh s) by (apply Rmult_le_compat; lra).
    assert (N : / (cosh s * cosh s) <= / (cosh (c * s) * cosh (c * s))).
    { apply Rinv_le_contravar; [now apply Rmult_lt_0_compat|exact M]. }
    assert (Q : 0 <= f' s * (t - 0)).
    { apply Rmult_le_pos; [|lra]. unfold f'.
      assert (0 <= c * (/ (cosh (c * s) * cosh (c * s)) - / (cosh s * cosh s))) by (apply Rmult_le_pos; lra).
      lra. }
    rewrite <- E in Q. unfold f in Q. rewrite !Rmult_0_r, tanh_0 in Q. lra.
Qed.

Lemma cosh_ge_1 t : 0 <= t -> 1 <= cosh t.
Proof.
  intros T. replace 1 with (cosh 0); [apply cosh_le; lra|]. unfold cosh. rewrite Ropp_0, exp_0. field.
Qed.

Lemma tanh_le_self t : 0 <= t -> tanh t <= t.
Proof.
  intros [T|<-]; [|rewrite tanh_0; lra].
  destruct (MVT_cor2 tanh (fun s => / (cosh s * cosh s)) 0 t T) as [s [E S]].
  - intros s _. apply derivable_pt_lim_tanh.
  - rewrite tanh_0 in E. assert (C : 1 <= cosh s) by (apply cosh_ge_1; lra).
    assert (C2 : 1 <= cosh s * cosh s) by (replace 1 with (1 * 1) by ring; apply Rmult_le_compat; lra).
    assert (I : / (cosh s * cosh s) <= / 1) by (apply Rinv_le_contravar; lra).
    assert (B : / (cosh s * cosh s) * (t - 0) <= 1 * (t - 0)) by (apply Rmult_le_compat_r; lra). lra.
Qed.

(** [tanh t / t] tends to 1 as [t] tends to 0. *)
Lemma tanh_slope eps : 0 < eps -> exists t, 0 < t /\ (1 - eps) * t < tanh t.
Proof.
  intros P. assert (D := derivable_pt_lim_tanh 0).
  replace (/ (cosh 0 * cosh 0)) with 1 in D by (unfold cosh; rewrite Ropp_0, exp_0; field).
  destruct (D eps P) as [[delta Q] H]. simpl in H.
  assert (N : delta / 2 <> 0) by lra. assert (A : Rabs (delta / 2) < delta) by (rewrite Rabs_right; lra).
  specialize (H (delta / 2) N A). rewrite Rplus_0_l, tanh_0, Rminus_0_r in H.
  apply Rabs_def2 in H. exists (delta / 2). split; [lra|].
  apply Rmult_lt_reg_r with (/ (delta / 2)); [apply Rinv_0_lt_compat; lra|].
  rewrite Rmult_assoc, Rinv_r, Rmult_1_r by lra. unfold Rdiv at 1 in H. unfold Rdiv in *. lra.
Qed.
