;; world: searcher
;; parts: memory realloc manifest answer request
;; Tries: to have the host write its answer outside the guest's memory.
;; Stopped by: the bounds check of the lowering.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))
(data (i32.const 1024) "good")

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (call $request (i32.const 2048) (i32.const 1024) (i32.const 4))
  (call $host_search (i32.const 2048) (i32.const 1) (i32.const -4))
  unreachable)
