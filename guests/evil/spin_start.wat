;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to spin before any export is called, while it is instantiated.
;; Stopped by: `cpu_ms`: instantiation runs under the deadline of the call that it is for.

(func $start (loop $ever (br $ever)))
(start $start)

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $scores (local.get $docs)))
