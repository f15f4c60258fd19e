;; world: searcher
;; parts: memory realloc manifest answer request
;; Tries: to trap in one call while another call of it waits for the host: the query `trap` traps,
;;   any other asks the host.
;; Stopped by: the trapping call fails alone: each call has an instance of its own.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))
(data (i32.const 1024) "slow")

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (if (i32.eq (i32.load (local.get $query)) (i32.const 0x70617274)) (then unreachable))
  (call $request (i32.const 2048) (i32.const 1024) (i32.const 4))
  (call $host_search (i32.const 2048) (i32.const 1) (i32.const 3072))
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
