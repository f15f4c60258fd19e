;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to take memory until there is none, and then to go on asking.
;; Stopped by: `memory_mb` refuses the growth; `cpu_ms` ends the asking.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (loop $ever
    (drop (memory.grow (i32.const 16)))
    (br $ever))
  unreachable)
