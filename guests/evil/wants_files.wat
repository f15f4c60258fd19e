;; world: wants-files
;; parts: memory realloc manifest answer scores
;; Tries: to import directories of the host: `wasi:filesystem/preopens@0.2.6`.
;; Stopped by: admission: only what its world may have is there to be imported.

(import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $wanted (param i32)))

(data (i32.const 1024) "sees the host")

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $wanted (i32.const 2048))
  (if (i32.load (i32.const 2052)) (then (return (call $failed (i32.const 1024) (i32.const 13)))))
  (call $scores (local.get $docs)))
