(** * The Birkhoff coefficient is the best constant (theorem [birkhoff-hopf])

    [tau(A)] is the supremum of [d(A x, A y) / d(x, y)] ([birkhoff_hopf_sharp]), and where the diameter is
    finite the nonlinear bound [tanh(d(A x, A y) / 4) <= tau(A) tanh(d(x, y) / 4)] is attained at every
    distance ([birkhoff_hopf_attained]). The proof on paper is in [proofs/test_birkhoff_hopf.py]. *)

From Coq Require Import Reals Lra Lia Classical.
From ConeTheory Require Import vectors hilbert birkhoff_hopf.
Open Scope R_scope.

(** ** Vectors on two coordinates, [w e_k + e_l] *)

Definition pair (k l : nat) (a b : R) : vector := fun h => a * unit k h + b * unit l h.

Lemma unit_self k : unit k k = 1.
Proof. unfold unit. now destruct (Nat.eq_dec k k). Qed.

Lemma unit_other k l : k <> l -> unit k l = 0.
Proof. intros N. unfold unit. destruct (Nat.eq_dec l k); [congruence|reflexivity]. Qed.

Lemma unit_nonneg k h : 0 <= unit k h.
Proof. unfold unit. destruct Nat.eq_dec; lra. Qed.

Lemma times_pair n A k l a b i :
  (k < n)%nat -> (l < n)%nat -> times n A (pair k l a b) i = a * A i k + b * A i l.
Proof. intros K L. unfold pair. rewrite times_linear, !times_unit by trivial. reflexivity. Qed.

(** [x = r w e_k + e_l] and [y = w e_k + e_l] are at distance [log r]. *)
Lemma pair_distance n k l r w (x := pair k l (r * w) 1) (y := pair k l w 1) :
  (k < n)%nat -> (l < n)%nat -> k <> l -> 1 <= r -> 0 < w ->
  nonneg n x /\ nonneg n y /\ same_support n x y /\ hilbert n x y = ln r.
Proof.
  intros K L N R W. assert (RW : 0 < r * w) by (apply Rmult_lt_0_compat; lra).
  assert (Y : forall h, 0 <= y h).
  { intros h. unfold y, pair. assert (U := unit_nonneg k h). assert (V := unit_nonneg l h).
    assert (0 <= w * unit k h) by (apply Rmult_le_pos; lra). lra. }
  assert (B : forall h, y h <= x h <= r * y h).
  { intros h. unfold x, y, pair. assert (U := unit_nonneg k h). assert (V := unit_nonneg l h).
    assert (0 <= (r - 1) * (w * unit k h)) by (repeat apply Rmult_le_pos; lra).
    assert (0 <= (r - 1) * unit l h) by (apply Rmult_le_pos; lra). lra. }
  assert (X : forall h, 0 <= x h) by (intros h; destruct (B h); specialize (Y h); lra).
  split; [intros h _; apply X|]. split; [intros h _; apply Y|]. split.
  - intros h _. destruct (B h) as [B1 B2]. split; intros P; [|lra].
    apply Rmult_lt_reg_l with r; lra.
  - apply Rle_antisym.
    + apply hilbert_le; [intros h _; apply X|intros h _; apply Y|exact R|].
      intros i j _ _. destruct (B i) as [_ Bi]. destruct (B j) as [Bj _].
      assert (Yi := Y i). assert (Yj := Y j). specialize (X j).
      apply Rle_trans with (r * y i * y j); [now apply Rmult_le_compat_r|].
      replace (r * (x j * y i)) with (r * y i * x j) by ring.
      apply Rmult_le_compat_l; [apply Rmult_le_pos; lra|exact Bj].
    + assert (Xk : x k = r * w) by (unfold x, pair; rewrite unit_self, unit_other by auto; ring).
      assert (Xl : x l = 1) by (unfold x, pair; rewrite unit_self, unit_other by auto; ring).
      assert (Yk : y k = w) by (unfold y, pair; rewrite unit_self, unit_other by auto; ring).
      assert (Yl : y l = 1) by (unfold y, pair; rewrite unit_self, unit_other by auto; ring).
      eapply Rle_trans; [|apply (hilbert_ge n x y k l); trivial; lra].
      rewrite Xk, Xl, Yk, Yl. right. f_equal. field. lra.
Qed.

(** ** A finite diameter is attained at two columns and two rows *)

Lemma log_ratio_self x i j : log_ratio x x i j = 0.
Proof.
  unfold log_ratio. destruct Rlt_dec as [P|]; [|reflexivity].
  replace (x i * x j / (x j * x i)) with 1; [apply ln_1|].
  field. split; intros Z; rewrite Z in P; lra.
Qed.

Lemma positive_product_4 a b c d :
  0 <= a -> 0 <= b -> 0 <= c -> 0 <= d -> 0 < a * b * (c * d) -> 0 < a /\ 0 < b /\ 0 < c /\ 0 < d.
Proof.
  intros A B C D P. repeat split.
  - destruct A as [A|<-]; [exact A|lra].
  - destruct B as [B|<-]; [exact B|lra].
  - destruct C as [C|<-]; [exact C|lra].
  - destruct D as [D|<-]; [exact D|lra].
Qed.

Lemma diameter_attained m n A :
  nonneg_matrix m n A -> 0 < diameter m n A ->
  exists k l i j, (k < n)%nat /\ (l < n)%nat /\ (i < m)%nat /\ (j < m)%nat /\ k <> l /\
    0 < A i k /\ 0 < A j l /\ 0 < A j k /\ 0 < A i l /\
    A i k * A j l = exp (diameter m n A) * (A j k * A i l).
Proof.
  intros P D.
  destruct (maximum2_attained _ _ _ D) as [k [l [K [L E]]]].
  fold (diameter m n A) in E. rewrite E in D.
  destruct (maximum2_attained _ _ _ D) as [i [j [I [J E']]]].
  fold (hilbert m (column A k) (column A l)) in E'. rewrite <- E in E'.
  exists k, l, i, j. assert (N : k <> l).
  { intros <-. rewrite log_ratio_self in E'. lra. }
  unfold log_ratio, column in E'. destruct Rlt_dec as [Q|]; [|lra].
  destruct (positive_product_4 (A i k) (A j l) (A j k) (A i l)) as [Q1 [Q2 [Q3 Q4]]]; auto.
  repeat (split; trivial).
  assert (C : 0 < A j k * A i l) by now apply Rmult_lt_0_compat.
  rewrite E', exp_ln by (apply Rdiv_lt_0_compat; [now apply Rmult_lt_0_compat|exact C]).
  field. lra.
Qed.

(** ** Finite diameter: the nonlinear bound is attained at every distance

    With [w = a_jl / (a_jk kappa rho)] the interval of length [log R] lies where the bound of [core] is
    largest. *)
Theorem birkhoff_hopf_attained m n A d :
  nonneg_matrix m n A -> finite_diameter m n A -> (2 <= n)%nat -> 0 <= d ->
  exists x y, nonneg n x /\ nonneg n y /\ same_support n x y /\ hilbert n x y = d /\
    tanh (hilbert m (times n A x) (times n A y) / 4) = tau m n A * tanh (d / 4).
Proof.
  intros P F N HD. assert (R : 1 <= exp d) by now apply exp_nonneg_ge_1.
  destruct (diameter_nonneg m n A) as [D|D].
  - destruct (diameter_attained m n A P D) as [k [l [i [j H]]]].
    destruct H as [K [L [I [J [NE [Aik [Ajl [Ajk [Ail E]]]]]]]]].
    set (kappa := exp (diameter m n A / 2)). set (rho := exp (d / 2)).
    assert (Hk : 0 < kappa) by apply exp_pos. assert (Hr : 0 < rho) by apply exp_pos.
    set (w := A j l / (A j k * (kappa * rho))).
    assert (Q : 0 < kappa * rho) by now apply Rmult_lt_0_compat.
    assert (W : 0 < w) by (apply Rdiv_lt_0_compat; [exact Ajl|now apply Rmult_lt_0_compat]).
    destruct (pair_distance n k l (exp d) w K L NE R W) as [X [Y [S H]]].
    set (x := pair k l (exp d * w) 1) in *. set (y := pair k l w 1) in *.
    exists x, y. rewrite ln_exp in H. repeat (split; trivial).
    apply Rle_antisym; [rewrite <- H; now apply birkhoff_hopf|].
    unfold tau. destruct finite_diameter_dec; [|contradiction].
    rewrite <- tanh_composed by lra. fold kappa rho. apply tanh_le.
    apply Rmult_le_compat_r; [lra|].
    (* rows i and j of the two images *)
    rewrite <- exp_half_square in E. fold kappa in E.
    assert (Ed : exp d = rho * rho) by (symmetry; apply exp_half_square).
    assert (Eik : A i k = kappa * kappa * A j k * A i l / A j l).
    { apply Rmult_eq_reg_r with (A j l); [|lra]. rewrite E. field. lra. }
    assert (Xi : times n A x i = (kappa * rho + 1) * A i l).
    { unfold x. rewrite times_pair, Ed, Eik by trivial. unfold w. field. repeat split; lra. }
    assert (Yi : times n A y i = (kappa + rho) / rho * A i l).
    { unfold y. rewrite times_pair, Eik by trivial. unfold w. field. repeat split; lra. }
    assert (Xj : times n A x j = (kappa + rho) / kappa * A j l).
    { unfold x. rewrite times_pair, Ed by trivial. unfold w. field. repeat split; lra. }
    assert (Yj : times n A y j = (kappa * rho + 1) / (kappa * rho) * A j l).
    { unfold y. rewrite times_pair by trivial. unfold w. field. repeat split; lra. }
    eapply Rle_trans; [|apply (hilbert_ge m _ _ i j I J)].
    + right. f_equal. rewrite Xi, Yi, Xj, Yj. field. repeat split; lra.
    + rewrite Xi. apply Rmult_lt_0_compat; lra.
    + rewrite Yj. apply Rmult_lt_0_compat; [apply Rdiv_lt_0_compat; lra|lra].
    + rewrite Xj. apply Rmult_lt_0_compat; [apply Rdiv_lt_0_compat; lra|lra].
    + rewrite Yi. apply Rmult_lt_0_compat; [apply Rdiv_lt_0_compat; lra|lra].
  - (* Delta = 0: any two vectors at distance d *)
    assert (T : tau m n A = 0).
    { unfold tau. destruct finite_diameter_dec; [|contradiction]. rewrite <- D.
      replace (0 / 4) with 0 by field. apply tanh_0. }
    destruct (pair_distance n 0 1 (exp d) 1) as [X [Y [S H]]]; try lia; try lra.
    rewrite ln_exp in H. exists (pair 0 1 (exp d * 1) 1), (pair 0 1 1 1).
    split; [exact X|]. split; [exact Y|]. split; [exact S|]. split; [exact H|].
    rewrite T, Rmult_0_l. apply Rle_antisym.
    + assert (B := birkhoff_hopf m n A _ _ P X Y S). rewrite T, Rmult_0_l in B. exact B.
    + apply tanh_nonneg. apply Rmult_le_pos; [apply hilbert_nonneg|lra].
Qed.

(** ** Infinite diameter: as near to no contraction as we like *)

Lemma infinite_diameter_witness m n A :
  nonneg_matrix m n A -> ~ finite_diameter m n A ->
  exists k l i j, (k < n)%nat /\ (l < n)%nat /\ (i < m)%nat /\ (j < m)%nat /\ k <> l /\
    0 < A i k /\ A i l = 0 /\ 0 < A j l.
Proof.
  intros P F. apply NNPP. intros H. apply F. intros k K l L i I j J Q1 Q2.
  destruct (P i l I L) as [Q|Q]; [exact Q|]. exfalso. apply H. exists k, l, i, j.
  repeat (split; trivial); [|now symmetry]. intros <-. lra.
Qed.

Lemma nearly_no_contraction m n A c d :
  nonneg_matrix m n A -> ~ finite_diameter m n A -> 0 <= c < 1 -> 0 < d ->
  exists x y, nonneg n x /\ nonneg n y /\ same_support n x y /\ hilbert n x y = d /\
    c * d <= hilbert m (times n A x) (times n A y).
Proof.
  intros P F C D. destruct (infinite_diameter_witness m n A P F) as [k [l [i [j H]]]].
  destruct H as [K [L [I [J [NE [Aik [Ail Ajl]]]]]]].
  assert (Ajk : 0 <= A j k) by auto.
  set (r := exp d). set (e := exp (c * d)).
  assert (CD : 0 <= c * d) by (apply Rmult_le_pos; lra).
  assert (E : 1 <= e) by now apply exp_nonneg_ge_1.
  assert (ER : e < r).
  { apply exp_increasing. rewrite <- (Rmult_1_l d) at 2. apply Rmult_lt_compat_r; lra. }
  set (b := (e - 1) * r * A j k). assert (B : 0 <= b) by (repeat apply Rmult_le_pos; lra).
  set (w := (r - e) * A j l / (b + 1)).
  assert (RE : 0 < (r - e) * A j l) by (apply Rmult_lt_0_compat; lra).
  assert (W : 0 < w) by (apply Rdiv_lt_0_compat; lra).
  (* w is so small that what comes from column k is small in row j *)
  assert (S : b * w <= (r - e) * A j l).
  { unfold w.
    replace (b * ((r - e) * A j l / (b + 1))) with (b * ((r - e) * A j l) / (b + 1)) by (field; lra).
    apply div_le; lra. }
  assert (RW : 0 < r * w) by (apply Rmult_lt_0_compat; lra).
  destruct (pair_distance n k l r w K L NE) as [X [Y [SS H]]]; [lra|exact W|].
  set (x := pair k l (r * w) 1) in *. set (y := pair k l w 1) in *.
  exists x, y. unfold r in H. rewrite ln_exp in H. repeat (split; trivial).
  assert (Xi : times n A x i = r * w * A i k) by (unfold x; rewrite times_pair, Ail by trivial; ring).
  assert (Yi : times n A y i = w * A i k) by (unfold y; rewrite times_pair, Ail by trivial; ring).
  assert (Xj : times n A x j = r * w * A j k + A j l) by (unfold x; rewrite times_pair by trivial; ring).
  assert (Yj : times n A y j = w * A j k + A j l) by (unfold y; rewrite times_pair by trivial; ring).
  assert (PXj : 0 < times n A x j).
  { rewrite Xj. assert (0 <= r * w * A j k) by (apply Rmult_le_pos; lra). lra. }
  assert (PYj : 0 < times n A y j).
  { rewrite Yj. assert (0 <= w * A j k) by (apply Rmult_le_pos; lra). lra. }
  assert (PXi : 0 < times n A x i) by (rewrite Xi; now apply Rmult_lt_0_compat).
  assert (PYi : 0 < times n A y i) by (rewrite Yi; now apply Rmult_lt_0_compat).
  eapply Rle_trans; [|exact (hilbert_ge m _ _ i j I J PXi PYj PXj PYi)].
  rewrite <- (ln_exp (c * d)). fold e. apply ln_le; [lra|].
  apply le_div; [now apply Rmult_lt_0_compat|]. rewrite Xi, Yi.
  replace (e * (times n A x j * (w * A i k))) with (w * A i k * (e * times n A x j)) by ring.
  replace (r * w * A i k * times n A y j) with (w * A i k * (r * times n A y j)) by ring.
  apply Rmult_le_compat_l; [apply Rmult_le_pos; lra|]. rewrite Xj, Yj. unfold b in S. lra.
Qed.

(** ** The supremum *)

Definition rates (m n : nat) (A : matrix) (q : R) : Prop :=
  exists x y, nonneg n x /\ nonneg n y /\ same_support n x y /\ 0 < hilbert n x y /\
    q = hilbert m (times n A x) (times n A y) / hilbert n x y.

Theorem birkhoff_hopf_sharp m n A :
  nonneg_matrix m n A -> (2 <= n)%nat -> is_lub (rates m n A) (tau m n A).
Proof.
  intros P N. split.
  - intros q [x [y [X [Y [S [D ->]]]]]]. apply div_le; [exact D|]. now apply birkhoff_hopf_linear.
  - intros b U. destruct (Rle_dec (tau m n A) b) as [|G]; [assumption|exfalso].
    assert (T := tau_bounds m n A).
    destruct (finite_diameter_dec m n A) as [F|F].
    + (* tanh t / t is near 1 for small t = d / 4 *)
      destruct (tanh_slope ((tau m n A - b) / 2)) as [t [Q H]]; [lra|].
      destruct (birkhoff_hopf_attained m n A (4 * t) P F N) as [x [y [X [Y [S [D E]]]]]]; [lra|].
      replace (4 * t / 4) with t in E by field.
      set (d' := hilbert m (times n A x) (times n A y)) in *.
      assert (D' : 0 <= d') by apply hilbert_nonneg.
      assert (L : tanh (d' / 4) <= d' / 4) by (apply tanh_le_self; lra).
      assert (B : d' / (4 * t) <= b).
      { apply U. exists x, y. rewrite D. repeat (split; trivial). lra. }
      assert (B' : d' <= b * (4 * t)).
      { replace d' with (d' / (4 * t) * (4 * t)) by (field; lra). apply Rmult_le_compat_r; lra. }
      (* tau (1 - eps) t <= tau tanh t <= d' / 4 <= b t, with eps = (tau - b) / 2 *)
      assert (V : tau m n A * ((1 - (tau m n A - b) / 2) * t) <= tau m n A * tanh t).
      { apply Rmult_le_compat_l; lra. }
      assert (V2 : tau m n A * ((1 - (tau m n A - b) / 2) * t) <= b * t) by lra.
      assert (V3 : tau m n A * (1 - (tau m n A - b) / 2) <= b).
      { apply Rmult_le_reg_r with t; [exact Q|]. lra. }
      assert (V4 : tau m n A * ((tau m n A - b) / 2) <= 1 * ((tau m n A - b) / 2)).
      { apply Rmult_le_compat_r; lra. }
      lra.
    + assert (E : tau m n A = 1) by (unfold tau; now destruct finite_diameter_dec).
      set (c := (Rmax b 0 + 1) / 2).
      assert (C : b < c /\ 0 <= c < 1) by (unfold c, Rmax; destruct Rle_dec; lra).
      destruct (nearly_no_contraction m n A c 1 P F) as [x [y [X [Y [S [D H]]]]]]; [lra|lra|].
      assert (B : hilbert m (times n A x) (times n A y) / 1 <= b).
      { apply U. exists x, y. rewrite D. repeat (split; trivial). lra. }
      lra.
Qed.

Print Assumptions birkhoff_hopf_sharp.
