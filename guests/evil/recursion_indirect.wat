;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to overflow the stack through two functions that call each other by a table.
;; Stopped by: the stack limit: a trap.

(type $step (func (param i64) (result i64)))
(table $t 2 2 funcref)
(elem (i32.const 0) $ping $pong)
(func $ping (type $step)
  (i64.add (local.get 0) (call_indirect $t (type $step) (local.get 0) (i32.const 1))))
(func $pong (type $step)
  (i64.xor (local.get 0) (call_indirect $t (type $step) (i64.add (local.get 0) (i64.const 1)) (i32.const 0))))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (drop (call_indirect $t (type $step) (i64.const 0) (i32.const 0)))
  unreachable)
