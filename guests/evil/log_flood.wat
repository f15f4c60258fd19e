;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to write lines for ever.
;; Stopped by: `log_bytes` drops them; `cpu_ms` ends it.

(import "routir:extension/log@0.1.0" "log" (func $log (param i32 i32 i32)))
(data (i32.const 1024) "again and again and again\0a")

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (loop $ever
    (call $log (i32.const 3) (i32.const 1024) (i32.const 26))
    (br $ever))
  unreachable)
