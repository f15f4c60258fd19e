;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to log at a level that there is not.
;; Stopped by: the lifting: an unknown case.

(import "routir:extension/log@0.1.0" "log" (func $log (param i32 i32 i32)))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $log (i32.const 9) (i32.const 1024) (i32.const 0))
  (call $scores (local.get $docs)))
