;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to fail with a text that is not UTF-8.
;; Stopped by: the lifting: a string must be UTF-8.

(data (i32.const 1024) "\ff\fe\c0\80")

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $failed (i32.const 1024) (i32.const 4)))
