;; world: fusion
;; parts: memory realloc manifest answer
;; Reciprocal rank fusion with k = 60, written by hand so that this test needs no compiler.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (local $out i32) (local $list i32) (local $rank i32) (local $at i32)
  (local.set $out
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.mul (local.get $docs) (i32.const 8))))
  (memory.fill (local.get $out) (i32.const 0) (i32.mul (local.get $docs) (i32.const 8)))
  (block $done
    (loop $next_list
      (br_if $done (i32.eqz (local.get $list_count)))
      (local.set $rank (i32.const 0))
      (block $list_done
        (loop $next_hit
          (br_if $list_done (i32.ge_u (local.get $rank) (i32.load offset=20 (local.get $lists))))
          (local.set $at
            (i32.add (local.get $out)
              (i32.mul (i32.const 8)
                (i32.load
                  (i32.add (i32.load offset=16 (local.get $lists))
                    (i32.mul (local.get $rank) (i32.const 4)))))))
          (local.set $rank (i32.add (local.get $rank) (i32.const 1)))
          (f64.store (local.get $at)
            (f64.add (f64.load (local.get $at))
              (f64.div (f64.const 1)
                (f64.add (f64.const 60) (f64.convert_i32_u (local.get $rank))))))
          (br $next_hit)))
      (local.set $lists (i32.add (local.get $lists) (i32.const 32)))
      (local.set $list_count (i32.sub (local.get $list_count) (i32.const 1)))
      (br $next_list)))
  (call $ok (local.get $out) (local.get $docs)))
