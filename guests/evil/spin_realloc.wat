;; world: searcher
;; parts: memory manifest answer
;; Tries: to spin in the allocator, which the host calls while it passes the arguments.
;; Stopped by: `cpu_ms`: arguments are lowered under the deadline too.

(func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  (loop $ever (br $ever))
  unreachable)

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
