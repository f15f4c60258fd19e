;; world: searcher
;; parts: memory realloc manifest answer request
;; Tries: to search with itself, by its own name, without end.
;; Stopped by: the runtime: an extension that waits for a request is not called by it, an error
;;   that names the circle.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))
(data (i32.const 1024) "evil")
(data (i32.const 1100) "the host refused")

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (call $request (i32.const 2048) (i32.const 1024) (i32.const 4))
  (call $host_search (i32.const 2048) (i32.const 1) (i32.const 3072))
  (if (i32.load8_u (i32.load (i32.const 3072)))
    (then (return (call $failed (i32.const 1100) (i32.const 16)))))
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
