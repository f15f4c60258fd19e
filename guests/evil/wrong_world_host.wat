;; world: fusion-that-searches
;; parts: memory realloc manifest answer scores request
;; Tries: to search as a fusion, which may see candidates and nothing more.
;; Stopped by: admission: the world `fusion` does not import `host`.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $scores (local.get $docs)))
