;; world: decomposer
;; parts: memory realloc manifest answer
;; Tries: to answer 100 000 sub-queries, each a search.
;; Stopped by: the conversion: as many as the call's limit are kept.

(data (i32.const 1024) "q")

(func (export "decompose")
  (param $query i32) (param $query_length i32) (param $limited i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (local $at i32) (local $i i32)
  (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 800000)))
  (loop $next
    (i32.store (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 8))) (i32.const 1024))
    (i32.store offset=4 (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 8))) (i32.const 1))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (i32.const 100000))))
  (call $ok (local.get $at) (i32.const 100000)))
