(** * The Birkhoff coefficient as a half-angle (theorem [half-angle])

    [tau(A)] is the supremum of the half-angle tangents of two columns of [D A], over all positive diagonals
    [D]. The proof on paper is in [proofs/test_half_angle.py]. *)

From Coq Require Import Reals Lra Lia.
From ConeTheory Require Import vectors hilbert metric_to_cosine birkhoff_hopf birkhoff_hopf_products.
From ConeTheory Require Import birkhoff_hopf_sharp half_angle.
Open Scope R_scope.

Definition rescaled (d : vector) (A : matrix) (k : nat) : vector := fun i => d i * A i k.

(** The half-angle tangents of two columns that are not zero, over all positive rescalings of the rows. *)
Definition half_angles (m n : nat) (A : matrix) (q : R) : Prop :=
  exists d k l, (forall i, (i < m)%nat -> 0 < d i) /\ (k < n)%nat /\ (l < n)%nat /\
    nonzero m (column A k) /\ nonzero m (column A l) /\
    q = tan (angle m (rescaled d A k) (rescaled d A l) / 2).

Lemma rescaled_nonneg m n A d k :
  nonneg_matrix m n A -> (forall i, (i < m)%nat -> 0 < d i) -> (k < n)%nat -> nonneg m (rescaled d A k).
Proof. intros P D K i I. apply Rmult_le_pos; [left; auto|auto]. Qed.

Lemma rescaled_nonzero m A d k :
  (forall i, (i < m)%nat -> 0 < d i) -> nonzero m (column A k) -> nonzero m (rescaled d A k).
Proof.
  intros D [i [I Z]]. exists i. split; [exact I|]. unfold rescaled. specialize (D i I).
  apply Rmult_integral_contrapositive. split; [lra|exact Z].
Qed.

(** ** No half-angle is larger: the theorem for [D A], as [tau(D A) = tau(A)] *)

Lemma angle_ext n u v u' v' :
  (forall i, (i < n)%nat -> u i = u' i) -> (forall i, (i < n)%nat -> v i = v' i) ->
  angle n u v = angle n u' v'.
Proof.
  intros U V. unfold angle, cosine, norm.
  replace (dot n u v) with (dot n u' v') by (apply sum_ext; intros i I; now rewrite U, V).
  replace (dot n u u) with (dot n u' u') by (apply sum_ext; intros i I; now rewrite U).
  replace (dot n v v) with (dot n v' v') by (apply sum_ext; intros i I; now rewrite V).
  reflexivity.
Qed.

Lemma half_angle_rescaled m n A d k l :
  nonneg_matrix m n A -> (forall i, (i < m)%nat -> 0 < d i) -> (k < n)%nat -> (l < n)%nat ->
  nonzero m (column A k) -> nonzero m (column A l) ->
  tan (angle m (rescaled d A k) (rescaled d A l) / 2) <= tau m n A.
Proof.
  intros P D K L NK NL. set (one := fun _ : nat => 1).
  destruct (tau_scaling m n A d one D) as [_ T]; [intros; unfold one; lra|]. rewrite <- T.
  assert (Q : nonneg_matrix m n (scaled d one A)).
  { intros i h I H. unfold scaled, one. rewrite Rmult_1_r. apply Rmult_le_pos; [left; auto|auto]. }
  assert (E : forall h i, (h < n)%nat -> times n (scaled d one A) (unit h) i = rescaled d A h i).
  { intros h i H. rewrite times_unit by exact H. unfold scaled, one, rescaled. ring. }
  rewrite (angle_ext m _ _ (times n (scaled d one A) (unit k)) (times n (scaled d one A) (unit l)))
    by (intros; now rewrite E).
  assert (NZ : forall h, (h < n)%nat ->
            nonzero m (column A h) -> nonzero m (times n (scaled d one A) (unit h))).
  { intros h H Z. destruct (rescaled_nonzero m A d h D Z) as [i [I N]].
    exists i. split; [exact I|]. now rewrite E. }
  apply half_angle_of_one; auto; intros i _; apply unit_nonneg.
Qed.

(** ** Small cosines *)

(** A cosine is at most an upper bound of the inner product over lower bounds of the lengths. *)
Lemma cosine_le n u v N a b :
  nonneg n u -> nonneg n v -> 0 < a -> 0 < b -> a * a <= dot n u u -> b * b <= dot n v v -> dot n u v <= N ->
  cosine n u v <= N / (a * b).
Proof.
  intros U V A B HA HB HN.
  assert (NA : a <= norm n u) by (apply square_le; [apply norm_nonneg|rewrite norm_square; exact HA]).
  assert (NB : b <= norm n v) by (apply square_le; [apply norm_nonneg|rewrite norm_square; exact HB]).
  assert (D := dot_nonneg n u v U V). assert (AB : 0 < a * b) by now apply Rmult_lt_0_compat.
  unfold cosine. apply div_le; [apply Rmult_lt_0_compat; lra|].
  apply Rle_trans with (N / (a * b) * (a * b)); [apply Rle_trans with N; [exact HN|right; field; lra]|].
  apply Rmult_le_compat_l; [|apply Rmult_le_compat; lra].
  apply le_div; [exact AB|]. lra.
Qed.

(** A sum over rows, with two of them apart: [d] is [p] in row [i], [q] in row [j] and [e] in the others. *)
Definition weights (i j : nat) (p q e : R) : vector :=
  fun h => if Nat.eq_dec h i then p else if Nat.eq_dec h j then q else e.
Definition others (m i j : nat) (f : vector) : R :=
  sum m (fun h => if Nat.eq_dec h i then 0 else if Nat.eq_dec h j then 0 else f h).

Lemma others_nonneg m i j f : nonneg m f -> 0 <= others m i j f.
Proof. intros F. apply sum_nonneg. intros h H. destruct (Nat.eq_dec h i), (Nat.eq_dec h j); auto; lra. Qed.

Lemma weighted_dot m i j p q e A k l :
  (i < m)%nat -> (j < m)%nat -> i <> j ->
  dot m (rescaled (weights i j p q e) A k) (rescaled (weights i j p q e) A l)
  = p * p * (A i k * A i l) + q * q * (A j k * A j l) + e * e * others m i j (fun h => A h k * A h l).
Proof.
  intros I J N.
  unfold dot, rescaled, others.
  rewrite (sum_split m _ i I), (sum_split m _ j J). unfold weights.
  destruct (Nat.eq_dec i i); [|easy]. destruct (Nat.eq_dec j i); [congruence|].
  destruct (Nat.eq_dec j j); [|easy].
  rewrite <- sum_scale.
  rewrite (sum_ext m _ (fun h => e * e * (if Nat.eq_dec h i then 0 else
                                          if Nat.eq_dec h j then 0 else A h k * A h l))).
  - ring.
  - intros h _. destruct (Nat.eq_dec h j), (Nat.eq_dec h i); ring.
Qed.

Lemma weights_positive i j p q e h : 0 < p -> 0 < q -> 0 < e -> 0 < weights i j p q e h.
Proof. intros. unfold weights. do 2 (destruct Nat.eq_dec; trivial). Qed.

(** Finite diameter: weights that give equality in the inequality of Cassels on the two rows that attain
    it. *)
Lemma small_cosine_finite m n A c :
  nonneg_matrix m n A -> 0 < diameter m n A -> / cosh (diameter m n A / 2) < c ->
  exists d k l, (forall i, (i < m)%nat -> 0 < d i) /\ (k < n)%nat /\ (l < n)%nat /\
    nonzero m (column A k) /\ nonzero m (column A l) /\ cosine m (rescaled d A k) (rescaled d A l) < c.
Proof.
  intros P D C. destruct (diameter_attained m n A P D) as [k [l [i [j H]]]].
  destruct H as [K [L [I [J [NE [Aik [Ajl [Ajk [Ail E]]]]]]]]].
  rewrite cosh_half in C. rewrite <- exp_half_square in E.
  assert (K1 : 1 < exp (diameter m n A / 2)).
  { rewrite <- exp_0. apply exp_increasing. lra. }
  set (kappa := exp (diameter m n A / 2)) in *.
  assert (IJ : i <> j).
  { intros <-.
    assert (Q : 0 < A i k * A i l) by now apply Rmult_lt_0_compat.
    assert (1 * 1 < kappa * kappa) by (apply Rmult_gt_0_lt_compat; lra).
    assert (1 * (A i k * A i l) < kappa * kappa * (A i k * A i l)) by (apply Rmult_lt_compat_r; lra). lra. }
  assert (KK : 0 < kappa * kappa) by (apply Rmult_lt_0_compat; lra).
  set (s := A j k / A j l). assert (S : 0 < s) by now apply Rdiv_lt_0_compat.
  assert (Eik : A i k = kappa * kappa * s * A i l).
  { unfold s. apply Rmult_eq_reg_r with (A j l); [|lra]. rewrite E. field. lra. }
  assert (Ejk : A j k = s * A j l) by (unfold s; field; lra).
  clearbody s.
  set (T := s * kappa * (1 + kappa * kappa)).
  assert (PT : 0 < T) by (repeat apply Rmult_lt_0_compat; lra).
  set (f := fun h => A h k * A h l).
  assert (PF : nonneg m f) by (intros h H; apply Rmult_le_pos; auto).
  assert (R := others_nonneg m i j f PF). set (r := others m i j f) in *.
  set (delta := c - 2 * kappa / (kappa * kappa + 1)).
  assert (PD : 0 < delta).
  { unfold delta. replace (/ ((kappa * kappa + 1) / (2 * kappa))) with (2 * kappa / (kappa * kappa + 1)) in C
      by (field; lra). lra. }
  set (e := delta * T / (r + 1)). assert (Pe : 0 < e).
  { apply Rdiv_lt_0_compat; [now apply Rmult_lt_0_compat|lra]. }
  set (w := weights i j (/ A i l) (kappa / A j l) (sqrt e)).
  assert (W : forall h, (h < m)%nat -> 0 < w h).
  { intros h _. apply weights_positive; [now apply Rinv_0_lt_compat| |now apply sqrt_lt_R0].
    apply Rdiv_lt_0_compat; lra. }
  exists w, k, l. split; [exact W|]. split; [exact K|]. split; [exact L|].
  split; [exists i; split; [exact I|unfold column; lra]|].
  split; [exists i; split; [exact I|unfold column; lra]|].
  assert (Ee : sqrt e * sqrt e = e) by (apply sqrt_sqrt; lra).
  assert (SQ : 0 < sqrt (1 + kappa * kappa)) by (apply sqrt_lt_R0; lra).
  assert (SS : sqrt (1 + kappa * kappa) * sqrt (1 + kappa * kappa) = 1 + kappa * kappa)
    by (apply sqrt_sqrt; lra).
  assert (B : cosine m (rescaled w A k) (rescaled w A l)
              <= (2 * (kappa * kappa) * s + e * r)
                 / (s * kappa * sqrt (1 + kappa * kappa) * sqrt (1 + kappa * kappa))).
  { apply cosine_le.
    - now apply (rescaled_nonneg m n).
    - now apply (rescaled_nonneg m n).
    - repeat apply Rmult_lt_0_compat; lra.
    - exact SQ.
    - unfold w. rewrite weighted_dot by trivial. rewrite Ee.
      assert (O : 0 <= e * others m i j (fun h => A h k * A h k)).
      { apply Rmult_le_pos; [lra|]. apply others_nonneg. intros h H. apply Rmult_le_pos; auto. }
      rewrite Eik, Ejk.
      replace (s * kappa * sqrt (1 + kappa * kappa) * (s * kappa * sqrt (1 + kappa * kappa)))
        with (s * kappa * (s * kappa) * (sqrt (1 + kappa * kappa) * sqrt (1 + kappa * kappa))) by ring.
      rewrite SS.
      apply Rle_trans with (s * kappa * (s * kappa) * (1 + kappa * kappa)
                            + e * others m i j (fun h => A h k * A h k)); [lra|].
      right. field. repeat split; lra.
    - unfold w. rewrite weighted_dot by trivial. rewrite Ee, SS.
      assert (O : 0 <= e * others m i j (fun h => A h l * A h l)).
      { apply Rmult_le_pos; [lra|]. apply others_nonneg. intros h H. apply Rmult_le_pos; auto. }
      apply Rle_trans with (1 + kappa * kappa + e * others m i j (fun h => A h l * A h l)); [lra|].
      right. field. repeat split; lra.
    - unfold w. rewrite weighted_dot by trivial. rewrite Ee. fold f r. rewrite Eik, Ejk.
      right. field. repeat split; lra. }
  eapply Rle_lt_trans; [exact B|].
  rewrite (Rmult_assoc (s * kappa)), SS. fold T.
  replace ((2 * (kappa * kappa) * s + e * r) / T)
    with (2 * kappa / (kappa * kappa + 1) + delta * (r / (r + 1)))
    by (unfold e, T; field; repeat split; lra).
  assert (r / (r + 1) < 1).
  { apply Rmult_lt_reg_r with (r + 1); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l; lra. }
  assert (delta * (r / (r + 1)) < delta * 1) by (apply Rmult_lt_compat_l; lra).
  unfold delta in *. lra.
Qed.

(** Infinite diameter: row [i] is positive in column [k] and zero in column [l], row [j] positive in column
    [l]. With weights [1] on row [i], [t] on row [j] and [t^2] on the others, [t -> 0], the angle tends to a
    right one. *)
Lemma small_cosine_infinite m n A c :
  nonneg_matrix m n A -> ~ finite_diameter m n A -> 0 < c ->
  exists d k l, (forall i, (i < m)%nat -> 0 < d i) /\ (k < n)%nat /\ (l < n)%nat /\
    nonzero m (column A k) /\ nonzero m (column A l) /\ cosine m (rescaled d A k) (rescaled d A l) < c.
Proof.
  intros P F C. destruct (infinite_diameter_witness m n A P F) as [k [l [i [j H]]]].
  destruct H as [K [L [I [J [NE [Aik [Ail Ajl]]]]]]].
  assert (IJ : i <> j) by (intros <-; lra).
  assert (Ajk : 0 <= A j k) by auto.
  set (f := fun h => A h k * A h l).
  assert (PF : nonneg m f) by (intros h H; apply Rmult_le_pos; auto).
  assert (R := others_nonneg m i j f PF). set (r := others m i j f) in *.
  set (b := (A j k * A j l + r) / (A i k * A j l)).
  assert (Q : 0 < A i k * A j l) by now apply Rmult_lt_0_compat.
  assert (Q' : 0 <= A j k * A j l) by (apply Rmult_le_pos; lra).
  assert (B : 0 <= b) by (apply le_div; lra).
  set (t := c / (c + b + 1)).
  assert (T : 0 < t) by (apply Rdiv_lt_0_compat; lra).
  assert (T1 : t <= 1) by (apply div_le; lra).
  assert (Et : t * (c + b + 1) = c) by (unfold t; field; lra).
  clearbody t.
  set (w := weights i j 1 t (t * t)).
  assert (W : forall h, (h < m)%nat -> 0 < w h).
  { intros h _. apply weights_positive; [lra|exact T|now apply Rmult_lt_0_compat]. }
  exists w, k, l. split; [exact W|]. split; [exact K|]. split; [exact L|].
  split; [exists i; split; [exact I|unfold column; lra]|].
  split; [exists j; split; [exact J|unfold column; lra]|].
  assert (T2 : 0 <= t * t) by (apply Rmult_le_pos; lra).
  assert (T2' : t * t <= 1) by (replace 1 with (1 * 1) by ring; apply Rmult_le_compat; lra).
  assert (O : forall g, nonneg m g -> 0 <= t * t * (t * t) * others m i j g).
  { intros g G. repeat apply Rmult_le_pos; try lra. now apply others_nonneg. }
  assert (H : cosine m (rescaled w A k) (rescaled w A l)
              <= t * t * (A j k * A j l + r) / (A i k * (t * A j l))).
  { apply cosine_le.
    - now apply (rescaled_nonneg m n).
    - now apply (rescaled_nonneg m n).
    - exact Aik.
    - now apply Rmult_lt_0_compat.
    - unfold w. rewrite weighted_dot by trivial.
      assert (G := O (fun h => A h k * A h k)). cbv beta in G.
      assert (0 <= t * t * (A j k * A j k)) by (apply Rmult_le_pos; [lra|apply Rmult_le_pos; lra]).
      assert (0 <= t * t * (t * t) * others m i j (fun h => A h k * A h k)).
      { apply G. intros h Hh. apply Rmult_le_pos; auto. }
      lra.
    - unfold w. rewrite weighted_dot, Ail by trivial.
      assert (0 <= t * t * (t * t) * others m i j (fun h => A h l * A h l)).
      { apply O. intros h H. apply Rmult_le_pos; auto. }
      lra.
    - unfold w. rewrite weighted_dot, Ail by trivial. fold f r.
      assert (t * t * (t * t * r) <= t * t * (1 * r)).
      { apply Rmult_le_compat_l; [exact T2|]. apply Rmult_le_compat_r; [exact R|exact T2']. }
      lra. }
  eapply Rle_lt_trans; [exact H|].
  replace (t * t * (A j k * A j l + r) / (A i k * (t * A j l))) with (t * b) by (unfold b; field; lra).
  apply Rlt_le_trans with (t * (c + b + 1)); [apply Rmult_lt_compat_l; lra|].
  right. exact Et.
Qed.

(** ** The supremum *)

Theorem half_angle_sharp m n A :
  nonneg_matrix m n A -> (exists k, (k < n)%nat /\ nonzero m (column A k)) ->
  is_lub (half_angles m n A) (tau m n A).
Proof.
  intros P [h [H NH]]. split.
  - intros q [d [k [l [D [K [L [NK [NL ->]]]]]]]]. now apply half_angle_rescaled.
  - intros b U. destruct (Rle_dec (tau m n A) b) as [|G]; [assumption|exfalso].
    assert (T := tau_bounds m n A).
    assert (C : forall d k l, (forall i, (i < m)%nat -> 0 < d i) -> (k < n)%nat -> (l < n)%nat ->
              nonzero m (column A k) -> nonzero m (column A l) ->
              0 <= cosine m (rescaled d A k) (rescaled d A l) <= 1).
    { intros d k l D K L NK NL.
      assert (Z := rescaled_nonzero m A d k D NK). assert (Z' := rescaled_nonzero m A d l D NL).
      split; [|now apply cosine_le_1].
      apply cosine_nonneg; trivial; now apply (rescaled_nonneg m n). }
    assert (B : 0 <= b).
    { set (one := fun _ : nat => 1).
      assert (D : forall i, (i < m)%nat -> 0 < one i) by (intros; unfold one; lra).
      eapply Rle_trans; [apply (tan_half_square _ (C one h h D H H NH NH))|].
      apply U. exists one, h, h. repeat (split; trivial). }
    (* A half-angle tangent is above b where the cosine is below (1 - b^2) / (1 + b^2). *)
    assert (BB : 0 <= b * b) by (apply Rmult_le_pos; lra).
    assert (S : exists d k l, (forall i, (i < m)%nat -> 0 < d i) /\ (k < n)%nat /\ (l < n)%nat /\
              nonzero m (column A k) /\ nonzero m (column A l) /\
              cosine m (rescaled d A k) (rescaled d A l) < (1 - b * b) / (1 + b * b)).
    { assert (LT : b * b < tau m n A * tau m n A) by (apply Rmult_le_0_lt_compat; lra).
      destruct (finite_diameter_dec m n A) as [F|F].
      - assert (E : tau m n A = tanh (diameter m n A / 4)) by (unfold tau; now destruct finite_diameter_dec).
        apply small_cosine_finite; trivial.
        + destruct (diameter_nonneg m n A) as [D|D]; [exact D|exfalso].
          rewrite <- D in E. replace (0 / 4) with 0 in E by field. rewrite tanh_0 in E. lra.
        + rewrite sech_of_tanh, <- E. set (t := tau m n A) in *.
          apply Rmult_lt_reg_r with ((1 + t * t) * (1 + b * b)); [apply Rmult_lt_0_compat; lra|].
          replace ((1 - t * t) / (1 + t * t) * ((1 + t * t) * (1 + b * b))) with ((1 - t * t) * (1 + b * b))
            by (field; lra).
          replace ((1 - b * b) / (1 + b * b) * ((1 + t * t) * (1 + b * b))) with ((1 - b * b) * (1 + t * t))
            by (field; lra).
          lra.
      - apply small_cosine_infinite; trivial. apply Rdiv_lt_0_compat; [|lra].
        assert (tau m n A * tau m n A <= 1 * 1) by (apply Rmult_le_compat; lra). lra. }
    destruct S as [d [k [l [D [K [L [NK [NL Q]]]]]]]].
    assert (V : tan (angle m (rescaled d A k) (rescaled d A l) / 2) <= b).
    { apply U. exists d, k, l. repeat (split; trivial). }
    unfold angle in V. apply tan_half_le in V; [lra|now apply C|exact B].
Qed.

Print Assumptions half_angle_sharp.
