;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to keep a core for ever.
;; Stopped by: `cpu_ms`, at the next tick.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (loop $ever (br $ever))
  unreachable)
