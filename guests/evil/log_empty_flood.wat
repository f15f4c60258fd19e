;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to write empty lines for ever: zero bytes each, which no budget of bytes counts.
;; Stopped by: `log_bytes`, if a line costs more than its bytes; `cpu_ms` ends it.

(import "routir:extension/log@0.1.0" "log" (func $log (param i32 i32 i32)))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (loop $ever
    (call $log (i32.const 3) (i32.const 1024) (i32.const 0))
    (br $ever))
  unreachable)
