;; world: searcher
;; parts: memory realloc manifest answer
;; Tries: to make the host copy 16 GiB out of 4 MiB: 4 096 ids that are all the same 4 MiB text.
;; Stopped by: `output_bytes` counts what is copied, not what is there.

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (local $text i32) (local $ids i32) (local $i i32)
  (local.set $text (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4194304)))
  (memory.fill (local.get $text) (i32.const 65) (i32.const 4194304))
  (local.set $ids (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 65536)))
  (loop $next
    (i32.store (i32.add (local.get $ids) (i32.mul (local.get $i) (i32.const 8))) (local.get $text))
    (i32.store offset=4 (i32.add (local.get $ids) (i32.mul (local.get $i) (i32.const 8))) (i32.const 4194304))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (i32.const 4096))))
  (call $hits
    (local.get $ids) (i32.const 4096)
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 32768)) (i32.const 4096)))
