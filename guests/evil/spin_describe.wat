;; world: fusion
;; parts: memory realloc answer scores
;; Tries: to keep whoever admits it waiting for ever.
;; Stopped by: `cpu_ms`: admission is a call like any other.

(func (export "routir:extension/manifest@0.1.0#describe") (result i32)
  (loop $ever (br $ever))
  unreachable)

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $scores (local.get $docs)))
