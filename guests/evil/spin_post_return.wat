;; world: searcher
;; parts: memory realloc manifest answer
;; Tries: to spin after the answer, in the function that frees it.
;; Stopped by: `cpu_ms`: the call ends when the guest has cleaned up, or is ended.

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
(func (export "cabi_post_search") (param i32)
  (loop $ever (br $ever)))
