;; world: searcher
;; parts: memory realloc manifest answer request
;; Tries: to ask 100 000 things in one call.
;; Stopped by: `host_calls` counts every request of a list; `output_bytes` what they take.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))
(data (i32.const 1024) "good")

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (local $at i32) (local $i i32)
  (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 4000000)))
  (loop $next
    (call $request (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 40))) (i32.const 1024) (i32.const 4))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (i32.const 100000))))
  (call $host_search (local.get $at) (i32.const 100000) (i32.const 3072))
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
