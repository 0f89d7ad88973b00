(** * Half-angle theorem (theorem [half-angle])

    For a product [P = A_1 ... A_L] of nonnegative matrices and nonnegative [x], [y] with [P x], [P y] not
    zero, [tan(angle(P x, P y) / 2) <= tau(P) <= tau(A_1) ... tau(A_L)]: no positivity, no common size, no
    limit. That [tau(A)] is a supremum of half-angle tangents is in [half_angle_sharp.v].
    The proof on paper is in [proofs/test_half_angle.py]. *)

From Coq Require Import Reals Lra Lia.
From ConeTheory Require Import vectors hilbert metric_to_cosine birkhoff_hopf birkhoff_hopf_products.
Open Scope R_scope.

(** A chain: matrix [l] has [size l] rows and [size (S l)] columns. The product of none is the identity. *)
Definition identity : matrix := fun i k => if Nat.eq_dec i k then 1 else 0.

Fixpoint chain (size : nat -> nat) (A : nat -> matrix) (L : nat) : matrix :=
  match L with
  | O => identity
  | S l => product (size l) (chain size A l) (A l)
  end.

Fixpoint tau_product (size : nat -> nat) (A : nat -> matrix) (L : nat) : R :=
  match L with
  | O => 1
  | S l => tau_product size A l * tau (size l) (size (S l)) (A l)
  end.

Definition nonneg_chain (size : nat -> nat) (A : nat -> matrix) (L : nat) : Prop :=
  forall l, (l < L)%nat -> nonneg_matrix (size l) (size (S l)) (A l).

(** The chain of one is its matrix. *)
Lemma chain_of_one size A i k : (i < size 0)%nat -> chain size A 1 i k = A 0%nat i k.
Proof.
  intros I. simpl. unfold product. rewrite (sum_one _ _ i I).
  - unfold identity. destruct (Nat.eq_dec i i); [ring|easy].
  - intros j _ J. unfold identity. destruct (Nat.eq_dec i j); [congruence|ring].
Qed.

Lemma chain_nonneg size A L : nonneg_chain size A L -> nonneg_matrix (size 0%nat) (size L) (chain size A L).
Proof.
  induction L as [|l IH]; intros P.
  - intros i k _ _. simpl. unfold identity. destruct Nat.eq_dec; lra.
  - simpl. apply product_nonneg; [apply IH; intros h H; apply P; lia|apply P; lia].
Qed.

Lemma tau_chain_le size A L :
  nonneg_chain size A L -> tau (size 0%nat) (size L) (chain size A L) <= tau_product size A L.
Proof.
  induction L as [|l IH]; intros P; [apply tau_bounds|]. simpl.
  assert (Q : nonneg_chain size A l) by (intros h H; apply P; lia).
  eapply Rle_trans; [apply tau_submultiplicative; [now apply chain_nonneg|apply P; lia]|].
  apply Rmult_le_compat_r; [apply tau_bounds|auto].
Qed.

(** One matrix. If [tau = 1] there is nothing to show, as the angle of nonnegative vectors is at most a right
    one. Otherwise [d(A x, A y) <= Delta], and [tan(angle / 2) <= tanh(d / 4) <= tanh(Delta / 4)]. *)
Theorem half_angle_of_one m n A x y :
  nonneg_matrix m n A -> nonneg n x -> nonneg n y ->
  nonzero m (times n A x) -> nonzero m (times n A y) ->
  tan (angle m (times n A x) (times n A y) / 2) <= tau m n A.
Proof.
  intros P X Y NX NY.
  assert (PX := times_nonneg m n A x P X). assert (PY := times_nonneg m n A y P Y).
  unfold tau. destruct (finite_diameter_dec m n A) as [F|F].
  - assert (S : same_support m (times n A x) (times n A y)).
    { assert (W : forall u, nonneg m u -> nonzero m u -> exists i, (i < m)%nat /\ 0 < u i).
      { intros u U [i [I Z]]. exists i. split; [exact I|]. destruct (U i I); [assumption|congruence]. }
      destruct (W _ PX NX) as [i [I QX]]. destruct (W _ PY NY) as [j [J QY]].
      intros h H. split; intros Q.
      - exact (finite_image_same_support m n A x y h j P F X Y H J Q QY).
      - exact (finite_image_same_support m n A y x h i P F Y X H I Q QX). }
    eapply Rle_trans; [now apply metric_to_angle|].
    apply tanh_le. assert (D := image_diameter m n A x y P F X Y). lra.
  - unfold angle. apply tan_half_le; [|lra|].
    + split; [now apply cosine_nonneg|now apply cosine_le_1].
    + replace ((1 - 1 * 1) / (1 + 1 * 1)) with 0 by field. now apply cosine_nonneg.
Qed.

Theorem half_angle size A L x y :
  nonneg_chain size A L ->
  nonneg (size L) x -> nonneg (size L) y ->
  nonzero (size 0%nat) (times (size L) (chain size A L) x) ->
  nonzero (size 0%nat) (times (size L) (chain size A L) y) ->
  tan (angle (size 0%nat) (times (size L) (chain size A L) x) (times (size L) (chain size A L) y) / 2)
    <= tau (size 0%nat) (size L) (chain size A L) /\
  tau (size 0%nat) (size L) (chain size A L) <= tau_product size A L.
Proof.
  intros P X Y NX NY. split; [|now apply tau_chain_le].
  apply half_angle_of_one; trivial. now apply chain_nonneg.
Qed.

(** In cosines: [cos >= (1 - T^2) / (1 + T^2)] with [T] the product of the coefficients. *)
Corollary half_angle_cosine size A L x y :
  nonneg_chain size A L ->
  nonneg (size L) x -> nonneg (size L) y ->
  nonzero (size 0%nat) (times (size L) (chain size A L) x) ->
  nonzero (size 0%nat) (times (size L) (chain size A L) y) ->
  (1 - tau_product size A L * tau_product size A L) / (1 + tau_product size A L * tau_product size A L)
    <= cosine (size 0%nat) (times (size L) (chain size A L) x) (times (size L) (chain size A L) y).
Proof.
  intros P X Y NX NY. destruct (half_angle size A L x y P X Y NX NY) as [H1 H2].
  assert (Q := chain_nonneg size A L P). assert (B := tau_bounds (size 0%nat) (size L) (chain size A L)).
  apply tan_half_le; [|lra|unfold angle in H1; lra].
  split; [|now apply cosine_le_1].
  apply cosine_nonneg; trivial; now apply (times_nonneg (size 0%nat) (size L)).
Qed.

Print Assumptions half_angle.
