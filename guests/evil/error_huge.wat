;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to fail with a text of 4 MiB, for a log or an answer to carry.
;; Stopped by: the conversion: 1000 characters are shown.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (local $at i32)
  (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4194304)))
  (memory.fill (local.get $at) (i32.const 65) (i32.const 4194304))
  (call $failed (local.get $at) (i32.const 4194304)))
