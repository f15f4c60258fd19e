;; world: decomposer
;; parts: memory realloc manifest answer
;; Tries: to keep a core for ever, as a decomposer.
;; Stopped by: `cpu_ms`, at the next tick.

(func (export "decompose")
  (param $query i32) (param $query_length i32) (param $limited i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (loop $ever (br $ever))
  unreachable)
