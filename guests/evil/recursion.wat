;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to overflow the stack by calling itself.
;; Stopped by: the stack limit: a trap.

(func $deeper (param $n i64) (result i64)
  (i64.add (local.get $n) (call $deeper (i64.add (local.get $n) (i64.const 1)))))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (drop (call $deeper (i64.const 0)))
  unreachable)
