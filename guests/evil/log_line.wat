;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to write one line of 4 MiB with forged lines in it.
;; Stopped by: the log: a line is cut at 4096 bytes and stays one line.

(import "routir:extension/log@0.1.0" "log" (func $log (param i32 i32 i32)))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (local $at i32)
  (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4194304)))
  (memory.fill (local.get $at) (i32.const 10) (i32.const 4194304))
  (call $log (i32.const 3) (local.get $at) (i32.const 4194304))
  (call $scores (local.get $docs)))
