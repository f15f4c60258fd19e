;; world: scorer
;; parts: memory realloc manifest answer
;; Tries: to answer negative infinity, which only a fusion may.
;; Stopped by: the conversion: every score finite.

(func (export "score")
  (param $query i32) (param $query_length i32) (param $texts i32) (param $text_count i32)
  (param $params i32) (param $param_count i32) (result i32)
  (local $i i32)
  (loop $next
    (f64.store (i32.add (i32.const 2048) (i32.mul (local.get $i) (i32.const 8))) (f64.const -inf))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (local.get $text_count))))
  (call $ok (i32.const 2048) (local.get $text_count)))
