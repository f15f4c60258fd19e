;; world: searcher
;; parts: memory realloc answer request
;; Tries: to use the host while it is asked who it is, when no caller pays.
;; Stopped by: the host: nothing but `log` may be called then.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))
(data (i32.const 1024) "good")

(func (export "routir:extension/manifest@0.1.0#describe") (result i32)
  (call $request (i32.const 2048) (i32.const 1024) (i32.const 4))
  (call $host_search (i32.const 2048) (i32.const 1) (i32.const 3072))
  unreachable)

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
