(** * Dobrushin's coefficient, signed matrices included (theorem [tau1])

    The largest [|A x|_1 / |x|_1] over vectors [x] with sum zero is half the largest 1-norm distance of two
    columns, for a matrix with entries of any sign; it is submultiplicative where the columns have one sum;
    for alpha-beta matrices it is at most [2 alpha - 1], with equality where, for two columns, the four
    supports of the two parts are disjoint.
    The proof on paper is in [proofs/test_tau1.py]. *)

From Coq Require Import Reals Lra Lia.
From ConeTheory Require Import vectors.
Open Scope R_scope.

Definition norm1 (n : nat) (x : vector) : R := sum n (fun i => Rabs (x i)).
Definition column_distance (m : nat) (A : matrix) (j k : nat) : R := norm1 m (fun i => A i j - A i k).
Definition tau_1 (m n : nat) (A : matrix) : R := maximum2 n n (column_distance m A) / 2.
Definition equal_column_sums (m n : nat) (A : matrix) : Prop :=
  exists c, forall k, (k < n)%nat -> sum m (column A k) = c.

Definition positive_part (a : R) : R := Rmax a 0.
Definition negative_part (a : R) : R := Rmax (- a) 0.

Lemma parts a :
  0 <= positive_part a /\ 0 <= negative_part a /\
  a = positive_part a - negative_part a /\ Rabs a = positive_part a + negative_part a.
Proof.
  unfold positive_part, negative_part, Rmax, Rabs.
  destruct (Rle_dec a 0), (Rle_dec (- a) 0), (Rcase_abs a); lra.
Qed.

Lemma norm1_nonneg n x : 0 <= norm1 n x.
Proof. apply sum_nonneg. intros. apply Rabs_pos. Qed.

Lemma tau_1_nonneg m n A : 0 <= tau_1 m n A.
Proof. unfold tau_1. assert (P := maximum2_nonneg n n (column_distance m A)). lra. Qed.

Lemma norm1_double_sum m p q (f : nat -> nat -> vector) :
  norm1 m (fun i => sum p (fun j => sum q (fun k => f j k i)))
  <= sum p (fun j => sum q (fun k => norm1 m (f j k))).
Proof.
  unfold norm1.
  apply Rle_trans with (sum m (fun i => sum p (fun j => sum q (fun k => Rabs (f j k i))))).
  - apply sum_le. intros i _. eapply Rle_trans; [apply sum_abs|].
    apply sum_le. intros j _. apply sum_abs.
  - right. rewrite sum_swap. apply sum_ext. intros j _. apply sum_swap.
Qed.

(** The contraction. Write [x = x+ - x-], [s = sum x+ = sum x-] (half of [|x|_1]). Then
    [s A x = sum_(j,k) x+_j x-_k (a_j - a_k)], and the sum of the weights is [s^2]. *)
Theorem tau1_contraction m n A x :
  sum n x = 0 -> norm1 m (times n A x) <= tau_1 m n A * norm1 n x.
Proof.
  intros Z.
  set (u := fun j => positive_part (x j)). set (v := fun k => negative_part (x k)).
  assert (U : nonneg n u) by (intros j _; apply parts).
  assert (V : nonneg n v) by (intros j _; apply parts).
  assert (X : forall j, x j = u j - v j) by (intros j; apply parts).
  set (s := sum n u).
  assert (Sv : sum n v = s).
  { assert (E : sum n x = sum n u - sum n v) by (rewrite <- sum_minus; apply sum_ext; auto).
    unfold s. lra. }
  assert (S2 : norm1 n x = 2 * s).
  { replace (2 * s) with (sum n u + sum n v) by (rewrite Sv; unfold s; ring).
    rewrite <- sum_plus. apply sum_ext. intros j _. apply parts. }
  assert (P : 0 <= s) by now apply sum_nonneg.
  destruct P as [P|P].
  - (* s > 0 *)
    assert (E : forall i, s * times n A x i
                = sum n (fun j => sum n (fun k => u j * v k * (A i j - A i k)))).
    { intros i.
      transitivity (sum n (fun j => A i j * u j) * sum n v - sum n u * sum n (fun k => A i k * v k)).
      - rewrite Sv. fold s.
        replace (times n A x i) with (sum n (fun j => A i j * u j) - sum n (fun k => A i k * v k)).
        + ring.
        + unfold times. rewrite <- sum_minus. apply sum_ext. intros j _. rewrite X. ring.
      - rewrite !sum_times, <- sum_minus. apply sum_ext. intros j _.
        rewrite <- sum_minus. apply sum_ext. intros k _. ring. }
    apply Rmult_le_reg_l with s; [exact P|].
    apply Rle_trans with (sum n (fun j => sum n (fun k => u j * v k * column_distance m A j k))).
    + replace (s * norm1 m (times n A x))
        with (norm1 m (fun i => sum n (fun j => sum n (fun k => u j * v k * (A i j - A i k))))).
      * eapply Rle_trans; [apply norm1_double_sum|].
        apply sum_le. intros j J. apply sum_le. intros k K.
        right. unfold column_distance, norm1. rewrite <- sum_scale. apply sum_ext. intros i _.
        rewrite Rabs_mult, (Rabs_right (u j * v k)); [reflexivity|].
        apply Rle_ge, Rmult_le_pos; auto.
      * unfold norm1. rewrite <- sum_scale. apply sum_ext. intros i _.
        rewrite <- E, Rabs_mult, (Rabs_right s); [reflexivity|lra].
    + apply Rle_trans with (sum n (fun j => sum n (fun k => u j * v k * (2 * tau_1 m n A)))).
      * apply sum_le. intros j J. apply sum_le. intros k K.
        apply Rmult_le_compat_l; [apply Rmult_le_pos; auto|].
        replace (2 * tau_1 m n A) with (maximum2 n n (column_distance m A)) by (unfold tau_1; field).
        now apply maximum2_ge.
      * right. transitivity (sum n u * sum n v * (2 * tau_1 m n A)).
        -- rewrite sum_times, <- sum_scale_r. apply sum_ext. intros j _. now rewrite sum_scale_r.
        -- rewrite Sv, S2. fold s. ring.
  - (* s = 0: x vanishes, and A x with it *)
    rewrite S2, <- P, !Rmult_0_r. right. apply sum_zero. intros i _.
    replace (times n A x i) with 0; [apply Rabs_R0|]. symmetry. apply sum_zero. intros j J.
    replace (x j) with 0; [ring|].
    assert (B := sum_term_le n (fun j => Rabs (x j)) j J (fun i _ => Rabs_pos (x i))).
    fold (norm1 n x) in B. rewrite S2, <- P in B. assert (B' := Rabs_pos (x j)).
    destruct (Req_dec (x j) 0) as [->|N]; [reflexivity|]. apply Rabs_no_R0 in N. lra.
Qed.

(** The constant is the best one: where there are two columns, [e_j - e_k] for the farthest two attains it. *)
Lemma sum_difference_of_units n j k :
  (j < n)%nat -> (k < n)%nat -> sum n (fun i => unit j i - unit k i) = 0.
Proof.
  intros J K. rewrite sum_minus, (sum_one n (unit j) j), (sum_one n (unit k) k); trivial.
  - unfold unit. destruct (Nat.eq_dec j j), (Nat.eq_dec k k); lra || easy.
  - intros i _ N. unfold unit. now destruct (Nat.eq_dec i k).
  - intros i _ N. unfold unit. now destruct (Nat.eq_dec i j).
Qed.

Lemma norm1_difference_of_units n j k :
  (j < n)%nat -> (k < n)%nat -> j <> k -> norm1 n (fun i => unit j i - unit k i) = 2.
Proof.
  intros J K N. unfold norm1.
  rewrite (sum_ext n _ (fun i => unit j i + unit k i)).
  - rewrite sum_plus, (sum_one n (unit j) j), (sum_one n (unit k) k); trivial.
    + unfold unit. destruct (Nat.eq_dec j j), (Nat.eq_dec k k); lra || easy.
    + intros i _ M. unfold unit. now destruct (Nat.eq_dec i k).
    + intros i _ M. unfold unit. now destruct (Nat.eq_dec i j).
  - intros i _. unfold unit. destruct (Nat.eq_dec i j), (Nat.eq_dec i k); subst; try easy;
      unfold Rabs; destruct Rcase_abs; lra.
Qed.

Lemma times_difference_of_units m n A j k :
  (j < n)%nat -> (k < n)%nat ->
  norm1 m (times n A (fun i => unit j i - unit k i)) = column_distance m A j k.
Proof.
  intros J K. apply sum_ext. intros i _. f_equal.
  rewrite <- (times_unit n A j i J), <- (times_unit n A k i K).
  unfold times. rewrite <- sum_minus. apply sum_ext. intros l _. ring.
Qed.

Theorem tau1_attained m n A :
  (2 <= n)%nat -> exists x, sum n x = 0 /\ 0 < norm1 n x /\ norm1 m (times n A x) = tau_1 m n A * norm1 n x.
Proof.
  intros N.
  assert (W : exists j k, (j < n)%nat /\ (k < n)%nat /\ j <> k /\
                maximum2 n n (column_distance m A) = column_distance m A j k).
  { destruct (maximum2_nonneg n n (column_distance m A)) as [P|P].
    - destruct (maximum2_attained _ _ _ P) as [j [k [J [K E]]]]. exists j, k. repeat split; trivial.
      intros ->. rewrite E in P. unfold column_distance, norm1 in P. rewrite sum_zero in P; [lra|].
      intros i _. now rewrite Rminus_diag_eq, Rabs_R0.
    - exists 0%nat, 1%nat. repeat split; try lia.
      assert (B := maximum2_ge n n (column_distance m A) 0 1 ltac:(lia) ltac:(lia)).
      assert (B' := norm1_nonneg m (fun i => A i 0%nat - A i 1%nat)).
      unfold column_distance in *. lra. }
  destruct W as [j [k [J [K [D E]]]]].
  exists (fun i => unit j i - unit k i).
  rewrite times_difference_of_units, norm1_difference_of_units, sum_difference_of_units by trivial.
  repeat split; [lra|]. unfold tau_1. rewrite E. field.
Qed.

(** A matrix of equal column sums keeps vectors of sum zero. *)
Lemma zero_sum_kept m n A x : equal_column_sums m n A -> sum n x = 0 -> sum m (times n A x) = 0.
Proof.
  intros [c C] Z. unfold times. rewrite sum_swap.
  rewrite (sum_ext n _ (fun k => c * x k)).
  - rewrite sum_scale, Z. ring.
  - intros k K. rewrite sum_scale_r. fold (column A k). now rewrite <- (C k K).
Qed.

Theorem tau1_submultiplicative m n p A B :
  equal_column_sums n p B -> tau_1 m p (product n A B) <= tau_1 m n A * tau_1 n p B.
Proof.
  intros C.
  assert (H : maximum2 p p (column_distance m (product n A B)) <= tau_1 m n A * tau_1 n p B * 2).
  { assert (T := Rmult_le_pos _ _ (tau_1_nonneg m n A) (tau_1_nonneg n p B)).
    apply maximum2_le; [lra|]. intros j k J K.
    destruct (Nat.eq_dec j k) as [->|N].
    { unfold column_distance, norm1. rewrite sum_zero; [lra|].
      intros i _. now rewrite Rminus_diag_eq, Rabs_R0. }
    set (x := fun i => unit j i - unit k i).
    assert (X : sum p x = 0) by now apply sum_difference_of_units.
    rewrite <- (times_difference_of_units m p _ j k J K). fold x.
    replace (norm1 m (times p (product n A B) x)) with (norm1 m (times n A (times p B x)))
      by (apply sum_ext; intros; now rewrite times_product).
    eapply Rle_trans; [apply tau1_contraction; now apply zero_sum_kept|].
    rewrite Rmult_assoc. apply Rmult_le_compat_l; [apply tau_1_nonneg|].
    eapply Rle_trans; [now apply tau1_contraction|].
    unfold x. rewrite norm1_difference_of_units by trivial. lra. }
  unfold tau_1 at 1. lra.
Qed.

(** The theorem in one statement. *)
Theorem tau1 m n A :
  (2 <= n)%nat ->
  (forall x, sum n x = 0 -> norm1 m (times n A x) <= tau_1 m n A * norm1 n x) /\
  (exists x, sum n x = 0 /\ 0 < norm1 n x /\ norm1 m (times n A x) = tau_1 m n A * norm1 n x) /\
  (forall p B, equal_column_sums n p B -> tau_1 m p (product n A B) <= tau_1 m n A * tau_1 n p B).
Proof.
  intros N. split; [|split].
  - intros x. apply tau1_contraction.
  - now apply tau1_attained.
  - intros p B. apply tau1_submultiplicative.
Qed.

(** ** Alpha-beta matrices [M = alpha Z+ - beta Z-] *)

Definition column_stochastic (m n : nat) (Z : matrix) : Prop :=
  nonneg_matrix m n Z /\ forall k, (k < n)%nat -> sum m (column Z k) = 1.

Definition alpha_beta (alpha beta : R) (P Q : matrix) : matrix := fun i k => alpha * P i k - beta * Q i k.

Lemma norm1_column m n Z k : column_stochastic m n Z -> (k < n)%nat -> norm1 m (column Z k) = 1.
Proof.
  intros [P S] K. rewrite <- (S k K). apply sum_ext. intros i I. apply Rabs_right, Rle_ge, P; trivial.
Qed.

Theorem tau1_alpha_beta m n alpha beta P Q :
  0 <= alpha -> 0 <= beta -> column_stochastic m n P -> column_stochastic m n Q ->
  tau_1 m n (alpha_beta alpha beta P Q) <= alpha * tau_1 m n P + beta * tau_1 m n Q.
Proof.
  intros HA HB SP SQ.
  assert (H : maximum2 n n (column_distance m (alpha_beta alpha beta P Q))
              <= alpha * maximum2 n n (column_distance m P) + beta * maximum2 n n (column_distance m Q)).
  { assert (X := Rmult_le_pos _ _ HA (maximum2_nonneg n n (column_distance m P))).
    assert (Y := Rmult_le_pos _ _ HB (maximum2_nonneg n n (column_distance m Q))).
    apply maximum2_le; [lra|]. intros j k J K.
    apply Rle_trans with (alpha * column_distance m P j k + beta * column_distance m Q j k).
    - unfold column_distance, norm1. rewrite <- !sum_scale, <- sum_plus. apply sum_le. intros i _.
      unfold alpha_beta.
      replace (alpha * P i j - beta * Q i j - (alpha * P i k - beta * Q i k))
        with (alpha * (P i j - P i k) + - (beta * (Q i j - Q i k))) by ring.
      eapply Rle_trans; [apply Rabs_triang|].
      rewrite Rabs_Ropp, !Rabs_mult, (Rabs_right alpha), (Rabs_right beta); lra.
    - apply Rplus_le_compat; apply Rmult_le_compat_l; trivial; now apply maximum2_ge. }
  unfold tau_1. lra.
Qed.

Lemma tau1_stochastic_le_1 m n Z : column_stochastic m n Z -> tau_1 m n Z <= 1.
Proof.
  intros S.
  assert (H : maximum2 n n (column_distance m Z) <= 2); [|unfold tau_1; lra].
  apply maximum2_le; [lra|]. intros j k J K.
  replace 2 with (norm1 m (column Z j) + norm1 m (column Z k)).
  - unfold column_distance, norm1. rewrite <- sum_plus. apply sum_le. intros i _.
    unfold column, Rminus. eapply Rle_trans; [apply Rabs_triang|]. rewrite Rabs_Ropp. lra.
  - rewrite !(norm1_column m n) by trivial. lra.
Qed.

(** With [alpha - beta = 1]: at most [2 alpha - 1]. *)
Corollary tau1_alpha_beta_upper m n alpha beta P Q :
  alpha - beta = 1 -> 0 <= beta -> column_stochastic m n P -> column_stochastic m n Q ->
  tau_1 m n (alpha_beta alpha beta P Q) <= 2 * alpha - 1.
Proof.
  intros E B SP SQ. eapply Rle_trans; [apply tau1_alpha_beta; trivial; lra|].
  assert (TP := tau1_stochastic_le_1 m n P SP). assert (TQ := tau1_stochastic_le_1 m n Q SQ).
  apply Rle_trans with (alpha * 1 + beta * 1); [|lra].
  apply Rplus_le_compat; apply Rmult_le_compat_l; lra.
Qed.

(** Equality where, for two columns, the four supports are disjoint: at most one of the four entries of each
    row is not zero. *)
Definition disjoint_row (a b c d : R) : Prop :=
  (a = 0 /\ b = 0 /\ c = 0) \/ (a = 0 /\ b = 0 /\ d = 0) \/ (a = 0 /\ c = 0 /\ d = 0) \/
  (b = 0 /\ c = 0 /\ d = 0).

Theorem tau1_alpha_beta_equal m n alpha beta P Q j k :
  alpha - beta = 1 -> 0 <= beta -> column_stochastic m n P -> column_stochastic m n Q ->
  (j < n)%nat -> (k < n)%nat ->
  (forall i, (i < m)%nat -> disjoint_row (P i j) (Q i j) (P i k) (Q i k)) ->
  tau_1 m n (alpha_beta alpha beta P Q) = 2 * alpha - 1.
Proof.
  intros E B SP SQ J K D. apply Rle_antisym; [now apply tau1_alpha_beta_upper|].
  assert (H := maximum2_ge n n (column_distance m (alpha_beta alpha beta P Q)) j k J K).
  assert (F : column_distance m (alpha_beta alpha beta P Q) j k = 2 * (2 * alpha - 1)); [|unfold tau_1; lra].
  transitivity (sum m (fun i => alpha * P i j + beta * Q i j + alpha * P i k + beta * Q i k)).
  - apply sum_ext. intros i I. unfold alpha_beta.
    assert (Pj := proj1 SP i j I J). assert (Pk := proj1 SP i k I K).
    assert (Qj := proj1 SQ i j I J). assert (Qk := proj1 SQ i k I K).
    assert (PA : 0 <= alpha) by lra.
    assert (X := Rmult_le_pos _ _ PA Pj). assert (Y := Rmult_le_pos _ _ B Qj).
    assert (X' := Rmult_le_pos _ _ PA Pk). assert (Y' := Rmult_le_pos _ _ B Qk).
    destruct (D i I) as [H'|[H'|[H'|H']]]; destruct H' as [E1 [E2 E3]]; rewrite E1, E2, E3 in *;
      unfold Rabs; destruct Rcase_abs; lra.
  - rewrite !sum_plus, !sum_scale. fold (column P j) (column Q j) (column P k) (column Q k).
    destruct SP as [_ SP]. destruct SQ as [_ SQ].
    change (alpha * sum m (column P j) + beta * sum m (column Q j) + alpha * sum m (column P k)
            + beta * sum m (column Q k) = 2 * (2 * alpha - 1)).
    rewrite (SP j J), (SP k K), (SQ j J), (SQ k K). lra.
Qed.

Print Assumptions tau1.
