;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to ask for the id of a document that it was not given.
;; Stopped by: the host: a handle that was never given out traps.

(import "routir:extension/candidates@0.1.0" "ids" (func $ids (param i32 i32 i32)))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (i32.store (i32.const 1024) (local.get $docs))
  (call $ids (i32.const 1024) (i32.const 1) (i32.const 2048))
  (call $scores (local.get $docs)))
