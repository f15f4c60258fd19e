;; world: wants-host-admin
;; parts: memory realloc manifest answer scores
;; Tries: to import an interface that the host does not have: `routir:admin/server@0.1.0`.
;; Stopped by: admission: only what its world may have is there to be imported.

(import "routir:admin/server@0.1.0" "shutdown" (func $wanted))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $scores (local.get $docs)))
