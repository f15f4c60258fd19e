;; world: fusion
;; parts: memory realloc answer scores
;; Tries: to trap when it is asked who it is.
;; Stopped by: admission.

(func (export "routir:extension/manifest@0.1.0#describe") (result i32) unreachable)

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $scores (local.get $docs)))
