;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to divide by zero, which is a signal on the processor.
;; Stopped by: a trap like any other: the process must not see the signal.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (drop (i32.div_u (i32.const 1) (local.get $param_count)))
  (drop (i32.div_u (i32.const 1) (i32.const 0)))
  unreachable)
