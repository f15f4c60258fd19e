;; world: fusion
;; parts: realloc manifest answer
;; Tries: the same with `memory.copy` of overlapping halves.
;; Stopped by: `cpu_ms`, at the loop; `memory_mb` bounds the single instruction.

(memory (export "memory") 512)

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (loop $ever
    (memory.copy (i32.const 65536) (i32.const 65537) (i32.const 33488000))
    (br $ever))
  unreachable)
