;; A right answer of a fusion: one score per handle, the first handle best.
(func $scores (param $count i32) (result i32)
  (local $at i32) (local $i i32)
  (local.set $at
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.mul (local.get $count) (i32.const 8))))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
      (f64.store
        (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 8)))
        (f64.convert_i32_s (i32.sub (i32.const 0) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
  (call $ok (local.get $at) (local.get $count)))
