(** * Finite sums, vectors and matrices of real numbers

    What the other files share. A vector of length [n] is a function [nat -> R] of which only the values at
    [0, ..., n - 1] are read; a matrix with [m] rows and [n] columns is a function of a row and a column. The
    sizes are arguments of the operations, so that no proof has to convert between types of different size. *)

From Coq Require Import Reals Lra Lia.
Open Scope R_scope.

Definition vector := nat -> R.
Definition matrix := nat -> nat -> R.

(** ** Sums *)

Fixpoint sum (n : nat) (f : vector) : R :=
  match n with
  | O => 0
  | S k => sum k f + f k
  end.

Lemma sum_ext n f g : (forall i, (i < n)%nat -> f i = g i) -> sum n f = sum n g.
Proof.
  induction n as [|n IH]; intros E; [reflexivity|]. simpl. rewrite IH, E; auto with arith.
Qed.

Lemma sum_le n f g : (forall i, (i < n)%nat -> f i <= g i) -> sum n f <= sum n g.
Proof.
  induction n as [|n IH]; intros E; [simpl; lra|]. simpl. apply Rplus_le_compat; auto with arith.
Qed.

Lemma sum_zero n f : (forall i, (i < n)%nat -> f i = 0) -> sum n f = 0.
Proof.
  induction n as [|n IH]; intros E; [reflexivity|]. simpl. rewrite IH, E; auto with arith. lra.
Qed.

Lemma sum_nonneg n f : (forall i, (i < n)%nat -> 0 <= f i) -> 0 <= sum n f.
Proof.
  intros E. rewrite <- (sum_zero n (fun _ => 0)); [|reflexivity]. apply sum_le, E.
Qed.

Lemma sum_plus n f g : sum n (fun i => f i + g i) = sum n f + sum n g.
Proof. induction n as [|n IH]; simpl; [|rewrite IH]; ring. Qed.

Lemma sum_minus n f g : sum n (fun i => f i - g i) = sum n f - sum n g.
Proof. induction n as [|n IH]; simpl; [|rewrite IH]; ring. Qed.

Lemma sum_scale n c f : sum n (fun i => c * f i) = c * sum n f.
Proof. induction n as [|n IH]; simpl; [|rewrite IH]; ring. Qed.

Lemma sum_scale_r n c f : sum n (fun i => f i * c) = sum n f * c.
Proof. induction n as [|n IH]; simpl; [|rewrite IH]; ring. Qed.

Lemma sum_swap m n (f : matrix) :
  sum m (fun i => sum n (fun j => f i j)) = sum n (fun j => sum m (fun i => f i j)).
Proof.
  induction m as [|m IH]; simpl.
  - symmetry. now apply sum_zero.
  - rewrite IH, <- sum_plus. reflexivity.
Qed.

(** The product of two sums is a double sum. *)
Lemma sum_times m n f g : sum m f * sum n g = sum m (fun i => sum n (fun j => f i * g j)).
Proof.
  rewrite <- sum_scale_r. apply sum_ext. intros i _. now rewrite sum_scale.
Qed.

Lemma sum_one n f k :
  (k < n)%nat -> (forall i, (i < n)%nat -> i <> k -> f i = 0) -> sum n f = f k.
Proof.
  induction n as [|n IH]; intros K E; [lia|]. simpl.
  destruct (Nat.eq_dec k n) as [->|N].
  - rewrite sum_zero; [ring|]. intros i I. apply E; lia.
  - rewrite IH; [|lia|intros i I; apply E; lia]. rewrite (E n); [ring|lia|lia].
Qed.

(** A sum splits into one of its terms and the sum of the others. *)
Lemma sum_split n f k :
  (k < n)%nat -> sum n f = f k + sum n (fun i => if Nat.eq_dec i k then 0 else f i).
Proof.
  intros K.
  assert (E : sum n (fun i => if Nat.eq_dec i k then f k else 0) = f k).
  { rewrite (sum_one n _ k K); [now destruct (Nat.eq_dec k k)|].
    intros i _ N. now destruct (Nat.eq_dec i k). }
  rewrite <- E at 1. rewrite <- sum_plus.
  apply sum_ext. intros i _. destruct (Nat.eq_dec i k) as [->|]; ring.
Qed.

Lemma sum_term_le n f k : (k < n)%nat -> (forall i, (i < n)%nat -> 0 <= f i) -> f k <= sum n f.
Proof.
  intros K P. rewrite (sum_split n f k K).
  assert (0 <= sum n (fun i => if Nat.eq_dec i k then 0 else f i)); [|lra].
  apply sum_nonneg. intros i I. destruct (Nat.eq_dec i k); [lra|auto].
Qed.

(** A sum of nonnegative terms is positive only if one of them is. *)
Lemma sum_positive_term n f :
  (forall i, (i < n)%nat -> 0 <= f i) -> 0 < sum n f -> exists k, (k < n)%nat /\ 0 < f k.
Proof.
  induction n as [|n IH]; simpl; intros P S; [lra|].
  destruct (Rlt_dec 0 (f n)) as [F|F]; [exists n; auto with arith|].
  destruct IH as [k [K F']]; [auto with arith| |exists k; auto with arith].
  assert (0 <= f n) by auto with arith. lra.
Qed.

Lemma sum_abs n f : Rabs (sum n f) <= sum n (fun i => Rabs (f i)).
Proof.
  induction n as [|n IH]; simpl; [rewrite Rabs_R0; lra|].
  eapply Rle_trans; [apply Rabs_triang|]. lra.
Qed.

(** ** Maxima, of nonnegative numbers: the maximum of none is 0 *)

Fixpoint maximum (n : nat) (f : vector) : R :=
  match n with
  | O => 0
  | S k => Rmax (maximum k f) (f k)
  end.

Lemma maximum_nonneg n f : 0 <= maximum n f.
Proof.
  induction n as [|n IH]; simpl; [lra|]. eapply Rle_trans; [exact IH|apply Rmax_l].
Qed.

Lemma maximum_ge n f k : (k < n)%nat -> f k <= maximum n f.
Proof.
  induction n as [|n IH]; intros K; [lia|]. simpl.
  destruct (Nat.eq_dec k n) as [->|N]; [apply Rmax_r|].
  eapply Rle_trans; [apply IH; lia|apply Rmax_l].
Qed.

Lemma maximum_le n f c : 0 <= c -> (forall k, (k < n)%nat -> f k <= c) -> maximum n f <= c.
Proof.
  intros C. induction n as [|n IH]; intros F; simpl; [exact C|]. apply Rmax_lub; auto with arith.
Qed.

Lemma maximum_attained n f : 0 < maximum n f -> exists k, (k < n)%nat /\ maximum n f = f k.
Proof.
  induction n as [|n IH]; simpl; intros P; [lra|].
  unfold Rmax in *. destruct (Rle_dec (maximum n f) (f n)).
  - exists n. auto with arith.
  - destruct (IH P) as [k [K E]]. exists k. auto with arith.
Qed.

Lemma maximum_ext n f g : (forall k, (k < n)%nat -> f k = g k) -> maximum n f = maximum n g.
Proof.
  induction n as [|n IH]; intros E; [reflexivity|]. simpl. rewrite IH, E; auto with arith.
Qed.

(** The largest of [f j k] over pairs. *)
Definition maximum2 (m n : nat) (f : matrix) : R := maximum m (fun j => maximum n (f j)).

Lemma maximum2_nonneg m n f : 0 <= maximum2 m n f.
Proof. apply maximum_nonneg. Qed.

Lemma maximum2_ge m n f j k : (j < m)%nat -> (k < n)%nat -> f j k <= maximum2 m n f.
Proof.
  intros J K. eapply Rle_trans; [exact (maximum_ge n (f j) k K)|].
  exact (maximum_ge m (fun j => maximum n (f j)) j J).
Qed.

Lemma maximum2_le m n f c :
  0 <= c -> (forall j k, (j < m)%nat -> (k < n)%nat -> f j k <= c) -> maximum2 m n f <= c.
Proof. intros C F. apply maximum_le; [exact C|]. intros j J. apply maximum_le; auto. Qed.

Lemma maximum2_attained m n f :
  0 < maximum2 m n f -> exists j k, (j < m)%nat /\ (k < n)%nat /\ maximum2 m n f = f j k.
Proof.
  intros P. destruct (maximum_attained _ _ P) as [j [J E]].
  destruct (maximum_attained n (f j)) as [k [K E']]; [unfold maximum2 in P; lra|].
  exists j, k. repeat split; trivial. unfold maximum2. lra.
Qed.

(** ** Vectors and matrices *)

Definition nonneg (n : nat) (x : vector) : Prop := forall i, (i < n)%nat -> 0 <= x i.
Definition nonneg_matrix (m n : nat) (A : matrix) : Prop :=
  forall i k, (i < m)%nat -> (k < n)%nat -> 0 <= A i k.

(** Two vectors have one support if they are positive at the same places. *)
Definition same_support (n : nat) (x y : vector) : Prop := forall i, (i < n)%nat -> 0 < x i <-> 0 < y i.

Definition nonzero (n : nat) (x : vector) : Prop := exists i, (i < n)%nat /\ x i <> 0.

Definition dot (n : nat) (x y : vector) : R := sum n (fun i => x i * y i).
Definition norm (n : nat) (x : vector) : R := sqrt (dot n x x).
Definition cosine (n : nat) (x y : vector) : R := dot n x y / (norm n x * norm n y).

(** [times n A x] is [A x], [product n A B] is [A B]; [n] is the number of columns of [A]. *)
Definition times (n : nat) (A : matrix) (x : vector) : vector := fun i => sum n (fun k => A i k * x k).
Definition product (n : nat) (A B : matrix) : matrix := fun i l => sum n (fun k => A i k * B k l).
Definition column (A : matrix) (k : nat) : vector := fun i => A i k.
Definition unit (k : nat) : vector := fun i => if Nat.eq_dec i k then 1 else 0.

Lemma dot_comm n x y : dot n x y = dot n y x.
Proof. apply sum_ext. intros i _. ring. Qed.

Lemma dot_nonneg n x y : nonneg n x -> nonneg n y -> 0 <= dot n x y.
Proof. intros X Y. apply sum_nonneg. intros i I. apply Rmult_le_pos; auto. Qed.

Lemma dot_self_nonneg n x : 0 <= dot n x x.
Proof. apply sum_nonneg. intros i _. exact (Rle_0_sqr (x i)). Qed.

Lemma norm_nonneg n x : 0 <= norm n x.
Proof. apply sqrt_pos. Qed.

Lemma norm_square n x : norm n x * norm n x = dot n x x.
Proof. apply sqrt_sqrt, dot_self_nonneg. Qed.

Lemma dot_self_positive n x : nonzero n x -> 0 < dot n x x.
Proof.
  intros [i [I X]]. apply Rlt_le_trans with (x i * x i); [exact (Rsqr_pos_lt _ X)|].
  apply (sum_term_le n (fun i => x i * x i)); [exact I|]. intros j _. exact (Rle_0_sqr (x j)).
Qed.

Lemma norm_positive n x : nonzero n x -> 0 < norm n x.
Proof. intros X. apply sqrt_lt_R0, dot_self_positive, X. Qed.

Lemma times_nonneg m n A x : nonneg_matrix m n A -> nonneg n x -> nonneg m (times n A x).
Proof. intros HA X i I. apply sum_nonneg. intros k K. apply Rmult_le_pos; auto. Qed.

Lemma times_linear n A x y a b i :
  times n A (fun k => a * x k + b * y k) i = a * times n A x i + b * times n A y i.
Proof.
  unfold times. rewrite <- !sum_scale, <- sum_plus. apply sum_ext. intros. ring.
Qed.

Lemma times_product n p A B x i : times p (product n A B) x i = times n A (times p B x) i.
Proof.
  unfold times, product.
  rewrite (sum_ext p _ (fun l => sum n (fun k => A i k * B k l * x l))).
  - rewrite sum_swap. apply sum_ext. intros k _. rewrite <- sum_scale. apply sum_ext. intros. ring.
  - intros l _. now rewrite <- sum_scale_r.
Qed.

(** Column [l] of [A B] is [A] times column [l] of [B]: by definition. *)
Lemma column_product n A B l : column (product n A B) l = times n A (column B l).
Proof. reflexivity. Qed.

Lemma times_unit n A k i : (k < n)%nat -> times n A (unit k) i = A i k.
Proof.
  intros K. unfold times. rewrite (sum_one n _ k K).
  - unfold unit. destruct (Nat.eq_dec k k); [ring|easy].
  - intros j _ J. unfold unit. destruct (Nat.eq_dec j k); [easy|ring].
Qed.

(** A statement about indices below a bound is decidable if it is so index by index. *)
Lemma all_below_dec (P : nat -> Prop) n :
  (forall k, {P k} + {~ P k}) -> {forall k, (k < n)%nat -> P k} + {~ forall k, (k < n)%nat -> P k}.
Proof.
  intros D. induction n as [|n IH]; [left; lia|].
  destruct IH as [A|A]; [|right; intros B; apply A; auto with arith].
  destruct (D n) as [B|B]; [left|right; auto with arith].
  intros k K. destruct (Nat.eq_dec k n) as [->|]; [exact B|apply A; lia].
Defined.

(** ** The inequality of Cauchy and Schwarz, and what follows for cosines *)

(** Lagrange's identity: the double sum of [(x_i y_j - x_j y_i)^2] is twice the difference of the
    two sides. *)
Lemma cauchy_schwarz n x y : dot n x y * dot n x y <= dot n x x * dot n y y.
Proof.
  assert (E : sum n (fun i => sum n (fun j => (x i * y j - x j * y i) * (x i * y j - x j * y i)))
              = 2 * (dot n x x * dot n y y) - 2 * (dot n x y * dot n x y)).
  { replace (2 * (dot n x x * dot n y y)) with (dot n x x * dot n y y + dot n y y * dot n x x) by ring.
    unfold dot. rewrite !sum_times, <- sum_scale, <- sum_plus, <- sum_minus.
    apply sum_ext. intros i _. rewrite <- sum_scale, <- sum_plus, <- sum_minus.
    apply sum_ext. intros j _. ring. }
  assert (P : 0 <= sum n (fun i => sum n (fun j => (x i * y j - x j * y i) * (x i * y j - x j * y i)))).
  { apply sum_nonneg. intros i _. apply sum_nonneg. intros j _. exact (Rle_0_sqr _). }
  lra.
Qed.

(** Nonnegative numbers are ordered as their squares. *)
Lemma square_le a b : 0 <= b -> a * a <= b * b -> a <= b.
Proof. intros B H. apply Rsqr_incr_0_var; assumption. Qed.

Lemma dot_le_norms n x y : dot n x y <= norm n x * norm n y.
Proof.
  apply square_le; [apply Rmult_le_pos; apply norm_nonneg|].
  replace (norm n x * norm n y * (norm n x * norm n y))
    with ((norm n x * norm n x) * (norm n y * norm n y)) by ring.
  rewrite !norm_square. apply cauchy_schwarz.
Qed.

(** A lower bound on a cosine, without a quotient. *)
Lemma cosine_ge n x y c :
  nonzero n x -> nonzero n y -> (c <= cosine n x y <-> c * (norm n x * norm n y) <= dot n x y).
Proof.
  intros X Y. assert (P := Rmult_lt_0_compat _ _ (norm_positive n x X) (norm_positive n y Y)).
  unfold cosine. split; intros H.
  - apply Rmult_le_reg_r with (/ (norm n x * norm n y)); [now apply Rinv_0_lt_compat|].
    rewrite Rmult_assoc, Rinv_r, Rmult_1_r by lra. exact H.
  - apply Rmult_le_reg_r with (norm n x * norm n y); [exact P|].
    unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra. exact H.
Qed.

Lemma cosine_le_1 n x y : nonzero n x -> nonzero n y -> cosine n x y <= 1.
Proof.
  intros X Y. assert (P := Rmult_lt_0_compat _ _ (norm_positive n x X) (norm_positive n y Y)).
  unfold cosine. apply Rmult_le_reg_r with (norm n x * norm n y); [exact P|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r, Rmult_1_l by lra. apply dot_le_norms.
Qed.

Lemma cosine_nonneg n x y :
  nonneg n x -> nonneg n y -> nonzero n x -> nonzero n y -> 0 <= cosine n x y.
Proof.
  intros PX PY X Y. apply cosine_ge; trivial. rewrite Rmult_0_l. now apply dot_nonneg.
Qed.

(** The inner product of two combinations of columns is a double sum. *)
Lemma dot_times m n A x y :
  dot m (times n A x) (times n A y)
  = sum n (fun k => sum n (fun l => x k * y l * dot m (column A k) (column A l))).
Proof.
  unfold dot, times, column.
  transitivity (sum m (fun i => sum n (fun k => sum n (fun l => x k * y l * (A i k * A i l))))).
  - apply sum_ext. intros i _. rewrite sum_times.
    apply sum_ext. intros k _. apply sum_ext. intros l _. ring.
  - rewrite sum_swap. apply sum_ext. intros k _. rewrite sum_swap.
    apply sum_ext. intros l _. now rewrite sum_scale.
Qed.
