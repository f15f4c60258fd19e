;; world: fusion
;; parts: realloc manifest answer
;; Tries: to work in single instructions that last: `memory.fill` of its whole memory, in a loop.
;; Stopped by: `cpu_ms`, at the loop; `memory_mb` bounds the single instruction.

(memory (export "memory") 512)

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (loop $ever
    (memory.fill (i32.const 65536) (i32.const 171) (i32.const 33488896))
    (br $ever))
  unreachable)
