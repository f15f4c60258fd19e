;; world: searcher
;; parts: memory realloc manifest answer request
;; Tries: to hold the host's memory instead of its own: 24 requests for a slow service, all with the
;;   same 128 KiB text as pipeline and query, so 6 MiB there for a few hundred KiB here.
;; Stopped by: the tenant's `memory_mb`, which counts what the host holds for its guests.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))
(data (i32.const 1024) "slow")

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (local $text i32) (local $at i32) (local $i i32)
  (local.set $text (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 131072)))
  (memory.fill (local.get $text) (i32.const 65) (i32.const 131072))
  (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 2000)))
  (loop $next
    (call $request (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 40))) (local.get $text) (i32.const 131072))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (i32.const 24))))
  (call $request (i32.add (local.get $at) (i32.const 960)) (i32.const 1024) (i32.const 4))
  (call $host_search (local.get $at) (i32.const 25) (i32.const 3072))
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
