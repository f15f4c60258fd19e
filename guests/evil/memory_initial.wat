;; world: fusion
;; parts: realloc manifest answer scores
;; Tries: to declare 4 GiB from the start, so that nothing needs to grow.
;; Stopped by: `memory_mb`, when it is instantiated at admission.

(memory (export "memory") 65536)

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $scores (local.get $docs)))
