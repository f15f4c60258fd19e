;; world: searcher
;; parts: memory realloc manifest answer request
;; Tries: to ask the host one thing after another for ever.
;; Stopped by: `host_calls`: the rest is answered `exhausted`; `cpu_ms` or `time_ms` ends it.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))
(data (i32.const 1024) "good")

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (local $heap i32)
  (local.set $heap (global.get $heap))
  (loop $ever
    (global.set $heap (local.get $heap))
    (call $request (i32.const 2048) (i32.const 1024) (i32.const 4))
    (call $host_search (i32.const 2048) (i32.const 1) (i32.const 3072))
    (br $ever))
  unreachable)
