;; world: searcher
;; parts: memory realloc manifest answer
;; Tries: to make the host hold what the guest need not: 3 million empty ids, at 8 bytes each in
;;   the guest and several times that in the host.
;; Stopped by: `output_bytes`, which counts what the host holds.

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (call $hits
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 24000000)) (i32.const 3000000)
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 24000000)) (i32.const 3000000)))
