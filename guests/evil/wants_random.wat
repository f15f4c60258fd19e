;; world: wants-random
;; parts: memory realloc manifest answer scores
;; Tries: to import randomness: `wasi:random/random@0.2.6`.
;; Stopped by: admission: only what its world may have is there to be imported.

(import "wasi:random/random@0.2.6" "get-random-u64" (func $wanted (result i64)))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $scores (local.get $docs)))
