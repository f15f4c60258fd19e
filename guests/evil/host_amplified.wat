;; world: searcher
;; parts: memory realloc manifest answer request
;; Tries: to make the host copy 8 GiB out of 4 MiB: 1 000 requests whose pipeline and query are
;;   the same 4 MiB text.
;; Stopped by: `output_bytes` counts what is copied.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (local $text i32) (local $at i32) (local $i i32)
  (local.set $text (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4194304)))
  (memory.fill (local.get $text) (i32.const 65) (i32.const 4194304))
  (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 40000)))
  (loop $next
    (call $request (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 40))) (local.get $text) (i32.const 4194304))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (i32.const 1000))))
  (call $host_search (local.get $at) (i32.const 1000) (i32.const 3072))
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
