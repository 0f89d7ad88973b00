(** * The worst pair of generators is the worst pair (theorem [generators])

    If all pairs of generators of a cone have cosine at least [c >= 0], so has every pair of its members. The
    generators are the columns of [A]; a member is [A x] with [x >= 0]. The entries of [A] may have any sign.
    The proof on paper is in [proofs/test_generators.py]. *)

From Coq Require Import Reals Lra Lia.
From ConeTheory Require Import vectors.
Open Scope R_scope.

(** [|A x| <= sum_k x_k |a_k|], squared: the triangle inequality for a nonnegative combination. *)
Lemma norm_times_le m n A x :
  nonneg n x -> norm m (times n A x) <= sum n (fun k => x k * norm m (column A k)).
Proof.
  intros X. apply square_le.
  - apply sum_nonneg. intros k K. apply Rmult_le_pos; [auto|apply norm_nonneg].
  - rewrite norm_square, dot_times, sum_times.
    apply sum_le. intros k K. apply sum_le. intros l L.
    replace (x k * norm m (column A k) * (x l * norm m (column A l)))
      with (x k * x l * (norm m (column A k) * norm m (column A l))) by ring.
    apply Rmult_le_compat_l; [apply Rmult_le_pos; auto|apply dot_le_norms].
Qed.

(** Without quotients, so that zero vectors are allowed everywhere:
    [<A x, A y> = sum x_k y_l <a_k, a_l> >= c sum x_k |a_k| sum y_l |a_l| >= c |A x| |A y|]. *)
Lemma generators_dot m n A c x y :
  0 <= c -> nonneg n x -> nonneg n y ->
  (forall k l, (k < n)%nat -> (l < n)%nat ->
     c * (norm m (column A k) * norm m (column A l)) <= dot m (column A k) (column A l)) ->
  c * (norm m (times n A x) * norm m (times n A y)) <= dot m (times n A x) (times n A y).
Proof.
  intros C X Y G.
  apply Rle_trans with (c * (sum n (fun k => x k * norm m (column A k))
                             * sum n (fun l => y l * norm m (column A l)))).
  - apply Rmult_le_compat_l; [exact C|].
    apply Rmult_le_compat; try apply norm_nonneg; now apply norm_times_le.
  - rewrite dot_times, sum_times, <- sum_scale.
    apply sum_le. intros k K. rewrite <- sum_scale. apply sum_le. intros l L.
    replace (c * (x k * norm m (column A k) * (y l * norm m (column A l))))
      with (x k * y l * (c * (norm m (column A k) * norm m (column A l)))) by ring.
    apply Rmult_le_compat_l; [apply Rmult_le_pos; auto|auto].
Qed.

(** [c <= 1] is asked for, as it is the cosine of a generator with itself; with two generators or more it
    follows from the other hypothesis. *)
Theorem generators m n A c x y :
  0 <= c <= 1 ->
  (forall k, (k < n)%nat -> nonzero m (column A k)) ->
  (forall k l, (k < n)%nat -> (l < n)%nat -> k <> l -> c <= cosine m (column A k) (column A l)) ->
  nonneg n x -> nonneg n y -> nonzero m (times n A x) -> nonzero m (times n A y) ->
  c <= cosine m (times n A x) (times n A y).
Proof.
  intros C N G X Y NX NY. apply cosine_ge; trivial. apply generators_dot; trivial; [lra|].
  intros k l K L. destruct (Nat.eq_dec k l) as [->|D].
  - rewrite norm_square. rewrite <- (Rmult_1_l (dot m (column A l) (column A l))) at 2.
    apply Rmult_le_compat_r; [apply dot_self_nonneg|lra].
  - apply cosine_ge; auto.
Qed.

(** So the smallest cosine over all pairs of nonnegative starts of a nonnegative matrix is that of two of its
    columns ([k = l] only where it has one column): the exact worst case. *)
Corollary worst_pair_is_of_columns m n A :
  (0 < n)%nat -> nonneg_matrix m n A -> (forall k, (k < n)%nat -> nonzero m (column A k)) ->
  exists k l, (k < n)%nat /\ (l < n)%nat /\
    forall x y, nonneg n x -> nonneg n y -> nonzero m (times n A x) -> nonzero m (times n A y) ->
      cosine m (column A k) (column A l) <= cosine m (times n A x) (times n A y).
Proof.
  intros N P Z. set (f := fun k l => 2 - cosine m (column A k) (column A l)).
  assert (Q : 0 < maximum2 n n f).
  { apply Rlt_le_trans with (f 0%nat 0%nat); [|now apply maximum2_ge].
    assert (cosine m (column A 0%nat) (column A 0%nat) <= 1) by (apply cosine_le_1; auto).
    unfold f. lra. }
  destruct (maximum2_attained _ _ _ Q) as [k [l [K [L E]]]].
  exists k, l. repeat split; trivial. intros x y X Y NX NY. apply (generators m n); trivial.
  - split; [apply cosine_nonneg; auto; intros i I; apply P; trivial|apply cosine_le_1; auto].
  - intros i j I J _. assert (H := maximum2_ge n n f i j I J). rewrite E in H. unfold f in H. lra.
Qed.

Print Assumptions generators.
