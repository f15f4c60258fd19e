;; world: searcher
;; parts: memory manifest answer request
;; Tries: to call the host out of its allocator, while the host is passing it arguments.
;; Stopped by: the component model: a guest cannot leave its instance in `cabi_realloc`.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))
(data (i32.const 1024) "good")
(func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  (call $request (i32.const 2048) (i32.const 1024) (i32.const 4))
  (call $host_search (i32.const 2048) (i32.const 1) (i32.const 3072))
  (i32.const 4096))

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
