;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to make the host copy one id a million times.
;; Stopped by: `output_bytes` for the handles, `memory_mb` for the ids that come back;
;;   `host_calls` where it repeats.

(import "routir:extension/candidates@0.1.0" "ids" (func $ids (param i32 i32 i32)))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (local $at i32)
  (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 4000000)))
  (loop $ever
    (call $ids (local.get $at) (i32.const 1000000) (i32.const 2048))
    (br $ever))
  unreachable)
