(** * From the Hilbert metric to the cosine (theorem [metric-to-cosine])

    For nonnegative vectors of one support at Hilbert distance [d], [cos(u, v) >= 1 / cosh(d / 2)],
    equivalently [tan(angle / 2) <= tanh(d / 4)]; attained for every [d >= 0], in every dimension from two on.
    The proof on paper is in [proofs/test_metric_to_cosine.py]. *)

From Coq Require Import Reals Lra Lia.
From ConeTheory Require Import vectors hilbert.
Open Scope R_scope.

(** The inequality of Cassels (Kantorovich; Polya and Szego): if [m v <= u <= M v], then
    [4 m M |u|^2 |v|^2 <= (m + M)^2 <u, v>^2].

    The sum of [(u_i - m v_i) (M v_i - u_i) >= 0] says that [|u|^2 + m M |v|^2 <= (m + M) <u, v>]; this is
    [E r^2 <= (m + M) E r - m M] of the paper, times [|v|^2]. The rest is [4 a b <= (a + b)^2]. *)
Theorem cassels n u v m M :
  0 <= m -> 0 <= M -> nonneg n v -> (forall i, (i < n)%nat -> m * v i <= u i <= M * v i) ->
  4 * (m * M) * (dot n u u * dot n v v) <= (m + M) * (m + M) * (dot n u v * dot n u v).
Proof.
  intros Pm PM V B.
  assert (S : 0 <= (m + M) * dot n u v - (dot n u u + m * M * dot n v v)).
  { replace ((m + M) * dot n u v - (dot n u u + m * M * dot n v v))
      with (sum n (fun i => (u i - m * v i) * (M * v i - u i))).
    - apply sum_nonneg. intros i I. destruct (B i I). apply Rmult_le_pos; lra.
    - unfold dot. rewrite <- !sum_scale, <- sum_plus, <- sum_minus. apply sum_ext. intros. ring. }
  assert (U := dot_self_nonneg n u). assert (W := dot_self_nonneg n v).
  set (a := dot n u u) in *. set (b := dot n v v) in *. set (c := dot n u v) in *.
  assert (P : 0 <= m * M * b) by (apply Rmult_le_pos; [now apply Rmult_le_pos|exact W]).
  apply Rle_trans with ((a + m * M * b) * (a + m * M * b)).
  - assert (0 <= (a - m * M * b) * (a - m * M * b)) by exact (Rle_0_sqr _). lra.
  - replace ((m + M) * (m + M) * (c * c)) with ((m + M) * c * ((m + M) * c)) by ring.
    apply Rmult_le_compat; lra.
Qed.

Lemma support_nonzero n u v : nonneg n u -> same_support n u v -> nonzero n u -> nonzero n v.
Proof.
  intros U S [i [I Z]]. exists i. split; [exact I|].
  assert (0 < v i); [|lra]. apply S; trivial. destruct (U i I); [assumption|congruence].
Qed.

Theorem metric_to_cosine n u v :
  nonneg n u -> nonneg n v -> same_support n u v -> nonzero n u ->
  / cosh (hilbert n u v / 2) <= cosine n u v.
Proof.
  intros U V S NU. assert (NV := support_nonzero n u v U S NU).
  apply cosine_ge; trivial.
  destruct (between_multiples n _ u v U V S (within_hilbert n u v U V S)) as [m [Pm B]].
  rewrite <- exp_half_square in B. rewrite cosh_half.
  assert (Ps := exp_pos (hilbert n u v / 2)). set (s := exp (hilbert n u v / 2)) in *.
  assert (Pss : 0 < s * s) by now apply Rmult_lt_0_compat.
  assert (PD := dot_nonneg n u v U V).
  (* The inequality of Cassels with M = s^2 m says 2 s |u| |v| <= (s^2 + 1) <u, v>. *)
  assert (C : 4 * (m * (s * s * m)) * (dot n u u * dot n v v)
              <= (m + s * s * m) * (m + s * s * m) * (dot n u v * dot n u v)).
  { apply cassels; trivial; [lra|]. apply Rmult_le_pos; lra. }
  assert (K : 2 * s * (norm n u * norm n v) <= (s * s + 1) * dot n u v).
  { apply square_le; [apply Rmult_le_pos; lra|].
    apply Rmult_le_reg_r with (m * m); [now apply Rmult_lt_0_compat|].
    replace (2 * s * (norm n u * norm n v) * (2 * s * (norm n u * norm n v)) * (m * m))
      with (4 * (m * (s * s * m)) * ((norm n u * norm n u) * (norm n v * norm n v))) by ring.
    rewrite !norm_square.
    replace ((s * s + 1) * dot n u v * ((s * s + 1) * dot n u v) * (m * m))
      with ((m + s * s * m) * (m + s * s * m) * (dot n u v * dot n u v)) by ring.
    exact C. }
  replace (/ ((s * s + 1) / (2 * s)) * (norm n u * norm n v))
    with (2 * s * (norm n u * norm n v) / (s * s + 1)) by (field; lra).
  apply div_le; [lra|]. rewrite Rmult_comm. rewrite Rmult_comm in K. lra.
Qed.

(** ** The bound is attained

    With [k = exp(d / 2)]: the vectors [(k, k^2)] and [(k, 1)], other entries zero. *)

Definition in_plane (a b : R) : vector := fun i => match i with 0%nat => a | 1%nat => b | _ => 0 end.

Lemma sum_plane n f : (2 <= n)%nat -> (forall i, (2 <= i)%nat -> f i = 0) -> sum n f = f 0%nat + f 1%nat.
Proof.
  intros N Z. rewrite (sum_split n f 0) by lia.
  rewrite (sum_one n _ 1); [reflexivity|lia|].
  intros i I J. destruct (Nat.eq_dec i 0); [reflexivity|apply Z; lia].
Qed.

Lemma dot_plane n a b c d : (2 <= n)%nat -> dot n (in_plane a b) (in_plane c d) = a * c + b * d.
Proof.
  intros N. unfold dot. rewrite sum_plane; trivial. intros [|[|i]] I; try lia. simpl. ring.
Qed.

Lemma hilbert_plane n k :
  (2 <= n)%nat -> 1 <= k -> hilbert n (in_plane k (k * k)) (in_plane k 1) = ln (k * k).
Proof.
  intros N K. assert (K2 : 1 <= k * k) by (replace 1 with (1 * 1) by ring; apply Rmult_le_compat; lra).
  assert (P1 : nonneg n (in_plane k (k * k))) by (intros [|[|i]] _; simpl; lra).
  assert (P2 : nonneg n (in_plane k 1)) by (intros [|[|i]] _; simpl; lra).
  apply Rle_antisym.
  - apply hilbert_le; trivial.
    assert (K3 : k * k <= k * k * (k * k)).
    { rewrite <- (Rmult_1_r (k * k)) at 1. apply Rmult_le_compat; lra. }
    assert (K4 : k <= k * k * k) by (rewrite <- (Rmult_1_l k) at 1; apply Rmult_le_compat; lra).
    assert (K5 : k <= k * k * (k * (k * k))).
    { replace (k * k * (k * (k * k))) with (k * k * (k * k) * k) by ring.
      rewrite <- (Rmult_1_l k) at 1. apply Rmult_le_compat; lra. }
    intros [|[|i]] [|[|j]] _ _; simpl; lra.
  - eapply Rle_trans; [|apply (hilbert_ge n _ _ 1 0); simpl; lia || lra].
    right. f_equal. simpl. field. lra.
Qed.

Theorem metric_to_cosine_attained n d :
  (2 <= n)%nat -> 0 <= d -> exists u v,
    nonneg n u /\ nonneg n v /\ same_support n u v /\ nonzero n u /\ hilbert n u v = d /\
    cosine n u v = / cosh (d / 2).
Proof.
  intros N D. set (k := exp (d / 2)).
  assert (K : 1 <= k) by (apply exp_nonneg_ge_1; lra).
  assert (KK : 0 < k * k) by (apply Rmult_lt_0_compat; lra).
  exists (in_plane k (k * k)), (in_plane k 1).
  repeat match goal with |- _ /\ _ => split end.
  - intros [|[|i]] _; simpl; lra.
  - intros [|[|i]] _; simpl; lra.
  - intros [|[|i]] _; simpl; split; intros; lra.
  - exists 0%nat. split; [lia|simpl; lra].
  - rewrite hilbert_plane by trivial. unfold k. rewrite exp_half_square. apply ln_exp.
  - unfold cosine, norm. rewrite !dot_plane by trivial. rewrite cosh_half. fold k.
    assert (E : sqrt (k * k + k * k * (k * k)) * sqrt (k * k + 1 * 1) = k * (k * k + 1)).
    { replace (k * k + k * k * (k * k)) with (k * k * (k * k + 1)) by ring.
      rewrite Rmult_1_r, sqrt_mult, sqrt_square by lra.
      rewrite Rmult_assoc, sqrt_sqrt by lra. reflexivity. }
    rewrite E. field. lra.
Qed.

(** ** Read as an angle *)

Definition angle (n : nat) (u v : vector) : R := acos (cosine n u v).

(** For angles up to a right one [tan(angle / 2)^2 = (1 - cos) / (1 + cos)]. *)
Lemma tan_half_square c :
  0 <= c <= 1 -> 0 <= tan (acos c / 2) /\ tan (acos c / 2) * tan (acos c / 2) = (1 - c) / (1 + c).
Proof.
  intros C. assert (B := acos_bound c). assert (Q := PI_RGT_0).
  assert (A : acos c <= PI / 2).
  { apply cos_decr_0; try lra. rewrite cos_PI2, cos_acos; lra. }
  assert (P : 0 < cos (acos c / 2)) by (apply cos_gt_0; lra).
  assert (S : 0 <= sin (acos c / 2)) by (apply sin_ge_0; lra).
  assert (E : cos (2 * (acos c / 2)) = c).
  { replace (2 * (acos c / 2)) with (acos c) by field. apply cos_acos. lra. }
  assert (E1 := cos_2a_cos (acos c / 2)). assert (E2 := cos_2a_sin (acos c / 2)).
  set (x := cos (acos c / 2)) in *. set (y := sin (acos c / 2)) in *.
  unfold tan. fold x y. split.
  - apply Rmult_le_pos; [exact S|]. left. now apply Rinv_0_lt_compat.
  - replace (y / x * (y / x)) with ((y * y) / (x * x)) by (field; lra).
    replace (y * y) with ((1 - c) / 2) by lra. replace (x * x) with ((1 + c) / 2) by lra. field. lra.
Qed.

(** So a bound on the cosine is a bound on the half-angle tangent. *)
Lemma tan_half_le c t :
  0 <= c <= 1 -> 0 <= t -> (1 - t * t) / (1 + t * t) <= c <-> tan (acos c / 2) <= t.
Proof.
  intros C T. destruct (tan_half_square c C) as [P E].
  set (x := tan (acos c / 2)) in *. assert (T2 : 0 <= t * t) by exact (Rle_0_sqr t).
  assert (X2 : x * x * (1 + c) = 1 - c) by (rewrite E; field; lra). split; intros H.
  - apply square_le; [exact T|]. rewrite E. apply div_le; [lra|].
    apply Rmult_le_compat_r with (r := 1 + t * t) in H; [|lra].
    unfold Rdiv in H. rewrite Rmult_assoc, Rinv_l, Rmult_1_r in H by lra. lra.
  - apply div_le; [lra|].
    assert (x * x <= t * t) by (apply Rmult_le_compat; lra).
    assert (x * x * (1 + c) <= t * t * (1 + c)) by (apply Rmult_le_compat_r; lra). lra.
Qed.

Lemma sech_of_tanh d :
  / cosh (d / 2) = (1 - tanh (d / 4) * tanh (d / 4)) / (1 + tanh (d / 4) * tanh (d / 4)).
Proof.
  rewrite cosh_half, tanh_quarter. assert (P := exp_pos (d / 2)).
  assert (Q : 0 < exp (d / 2) * exp (d / 2)) by now apply Rmult_lt_0_compat.
  field. repeat split; lra.
Qed.

Corollary metric_to_angle n u v :
  nonneg n u -> nonneg n v -> same_support n u v -> nonzero n u ->
  tan (angle n u v / 2) <= tanh (hilbert n u v / 4).
Proof.
  intros U V S NU. assert (NV := support_nonzero n u v U S NU).
  assert (D := hilbert_nonneg n u v).
  apply tan_half_le.
  - split; [now apply cosine_nonneg|now apply cosine_le_1].
  - apply tanh_nonneg. lra.
  - rewrite <- sech_of_tanh. now apply metric_to_cosine.
Qed.

Print Assumptions metric_to_cosine.
