(** * The Birkhoff coefficient of scaled matrices and of products (theorem [birkhoff-hopf])

    [tau(D A E) = tau(A)] for positive diagonals [D], [E] ([tau_scaling]), and [tau(A B) <= tau(A) tau(B)]
    ([tau_submultiplicative]), zeros included: (c) and (d) of the proof on paper in
    [proofs/test_birkhoff_hopf.py]. *)

From Coq Require Import Reals Lra Lia.
From ConeTheory Require Import vectors hilbert birkhoff_hopf.
Open Scope R_scope.

(** ** (c) Diagonal scalings cancel from every ratio *)

Definition scaled (d e : vector) (A : matrix) : matrix := fun i k => d i * A i k * e k.

Lemma finite_diameter_scaled m n A d e :
  (forall i, (i < m)%nat -> 0 < d i) -> (forall k, (k < n)%nat -> 0 < e k) ->
  finite_diameter m n A -> finite_diameter m n (scaled d e A).
Proof.
  intros D E F k K l L i I j J Q R. unfold scaled in *.
  assert (U : forall i k, (i < m)%nat -> (k < n)%nat -> 0 < d i * A i k * e k -> 0 < A i k).
  { intros i' k' I' K' H. assert (D' := D i' I'). assert (E' := E k' K').
    apply Rmult_lt_reg_l with (d i'); [exact D'|]. apply Rmult_lt_reg_r with (e k'); [exact E'|]. lra. }
  repeat apply Rmult_lt_0_compat; auto. apply (F k K l L i I j J); auto.
Qed.

Lemma log_ratio_scaled d e A k l i j :
  0 < d i -> 0 < d j -> 0 < e k -> 0 < e l ->
  log_ratio (column (scaled d e A) k) (column (scaled d e A) l) i j = log_ratio (column A k) (column A l) i j.
Proof.
  intros Di Dj Ek El. unfold log_ratio, column, scaled.
  assert (C : 0 < d i * d j * e k * e l) by (repeat apply Rmult_lt_0_compat; assumption).
  set (c := d i * d j * e k * e l) in *. assert (CC := Rmult_lt_0_compat c c C C).
  replace (d i * A i k * e k * (d j * A j l * e l)) with (c * (A i k * A j l)) by (unfold c; ring).
  replace (d j * A j k * e k * (d i * A i l * e l)) with (c * (A j k * A i l)) by (unfold c; ring).
  set (p := A i k * A j l). set (q := A j k * A i l).
  replace (c * p * (c * q)) with (c * c * (p * q)) by ring.
  destruct (Rlt_dec 0 (c * c * (p * q))) as [H|H], (Rlt_dec 0 (p * q)) as [H'|H']; trivial.
  - f_equal. field. split; [|lra]. intros Z. rewrite Z in H'. lra.
  - exfalso. apply H'. apply Rmult_lt_reg_l with (c * c); lra.
  - exfalso. apply H. now apply Rmult_lt_0_compat.
Qed.

Lemma maximum2_ext m n f g :
  (forall j k, (j < m)%nat -> (k < n)%nat -> f j k = g j k) -> maximum2 m n f = maximum2 m n g.
Proof. intros E. apply maximum_ext. intros j J. apply maximum_ext. intros k K. auto. Qed.

Theorem tau_scaling m n A d e :
  (forall i, (i < m)%nat -> 0 < d i) -> (forall k, (k < n)%nat -> 0 < e k) ->
  diameter m n (scaled d e A) = diameter m n A /\ tau m n (scaled d e A) = tau m n A.
Proof.
  intros D E.
  assert (H : diameter m n (scaled d e A) = diameter m n A).
  { apply maximum2_ext. intros k l K L. apply maximum2_ext. intros i j I J.
    apply log_ratio_scaled; auto. }
  split; [exact H|]. unfold tau.
  destruct (finite_diameter_dec m n (scaled d e A)) as [F|F], (finite_diameter_dec m n A) as [G|G]; trivial.
  - now rewrite H.
  - exfalso. apply G. intros k K l L i I j J Q R.
    assert (S : 0 < scaled d e A i l).
    { apply (F k K l L i I j J); unfold scaled; repeat apply Rmult_lt_0_compat; auto. }
    unfold scaled in S. assert (D' := D i I). assert (E' := E l L).
    apply Rmult_lt_reg_l with (d i); [exact D'|]. apply Rmult_lt_reg_r with (e l); [exact E'|]. lra.
  - exfalso. apply F. now apply finite_diameter_scaled.
Qed.

(** ** (d) Products *)

Lemma product_nonneg m n p A B :
  nonneg_matrix m n A -> nonneg_matrix n p B -> nonneg_matrix m p (product n A B).
Proof. intros PA PB i l I L. apply sum_nonneg. intros k K. apply Rmult_le_pos; auto. Qed.

Lemma hilbert_zero n x y : (forall i, (i < n)%nat -> x i = 0) -> hilbert n x y = 0.
Proof.
  intros Z. apply Rle_antisym; [|apply hilbert_nonneg].
  apply maximum2_le; [lra|]. intros i j I J. unfold log_ratio.
  destruct Rlt_dec as [Q|]; [|lra]. rewrite (Z i I) in Q. lra.
Qed.

(** A column that is not zero, or that is. *)
Lemma zero_or_positive m x :
  nonneg m x -> (forall i, (i < m)%nat -> x i = 0) \/ exists i, (i < m)%nat /\ 0 < x i.
Proof.
  intros X. destruct (Rle_dec (sum m x) 0) as [S|S].
  - left. intros i I. assert (B := sum_term_le m x i I X). assert (B' := X i I). lra.
  - right. destruct (sum_positive_term m x) as [i [I P]]; [exact X|lra|]. now exists i.
Qed.

Theorem tau_submultiplicative m n p A B :
  nonneg_matrix m n A -> nonneg_matrix n p B -> tau m p (product n A B) <= tau m n A * tau n p B.
Proof.
  intros PA PB. assert (BA := tau_bounds m n A). assert (BB := tau_bounds n p B).
  destruct (finite_diameter_dec n p B) as [F|F].
  - (* B of finite diameter: contract the distances of its columns. *)
    apply tau_le; [|apply Rmult_le_pos; lra|].
    + intros k K l L i I j J Q R.
      destruct (positive_image m n A (column B k) i PA (column_nonneg n p B k PB K) I Q) as [h [H [AH BH]]].
      destruct (positive_image m n A (column B l) j PA (column_nonneg n p B l PB L) J R) as [g [G [_ BG]]].
      apply (image_positive m n A (column B l) i h); trivial; [now apply (column_nonneg n p)|].
      exact (F k K l L h H g G BH BG).
    + intros k l K L. rewrite !column_product.
      assert (Pk := column_nonneg n p B k PB K). assert (Pl := column_nonneg n p B l PB L).
      assert (O : tanh (0 / 4) <= tau m n A * tau n p B).
      { replace (0 / 4) with 0 by field. rewrite tanh_0. apply Rmult_le_pos; lra. }
      destruct (zero_or_positive n _ Pk) as [Z|[h [H BH]]].
      { rewrite hilbert_zero; [exact O|]. intros i _. apply sum_zero. intros g G. rewrite Z; [ring|exact G]. }
      destruct (zero_or_positive n _ Pl) as [Z|[g [G BG]]].
      { rewrite hilbert_sym, hilbert_zero; [exact O|].
        intros i _. apply sum_zero. intros f HF. rewrite Z; [ring|exact HF]. }
      eapply Rle_trans; [apply birkhoff_hopf; trivial|].
      { intros f HF. unfold column in *. split; intros Q.
        - exact (F k K l L f HF g G Q BG).
        - exact (F l L k K f HF h H Q BH). }
      apply Rmult_le_compat_l; [lra|]. unfold tau. destruct finite_diameter_dec; [|contradiction].
      apply tanh_le.
      assert (M := maximum2_ge p p (fun k l => hilbert n (column B k) (column B l)) k l K L).
      unfold diameter. simpl in M. lra.
  - (* tau(B) = 1 *)
    assert (E : tau n p B = 1) by (unfold tau; now destruct finite_diameter_dec).
    rewrite E, Rmult_1_r. destruct (finite_diameter_dec m n A) as [G|G].
    + apply tau_le; [|lra|].
      * intros k K l L i I j J Q R.
        exact (finite_image_same_support m n A (column B k) (column B l) i j PA G
                 (column_nonneg n p B k PB K) (column_nonneg n p B l PB L) I J Q R).
      * intros k l K L. rewrite !column_product. unfold tau. destruct finite_diameter_dec; [|contradiction].
        apply tanh_le.
        assert (D := image_diameter m n A (column B k) (column B l) PA G
                       (column_nonneg n p B k PB K) (column_nonneg n p B l PB L)).
        lra.
    + replace (tau m n A) with 1 by (unfold tau; now destruct finite_diameter_dec). apply tau_bounds.
Qed.

Print Assumptions tau_scaling.
Print Assumptions tau_submultiplicative.
