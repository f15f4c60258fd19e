;; world: wants-sockets
;; parts: memory realloc manifest answer scores
;; Tries: to import the network: `wasi:sockets/instance-network@0.2.6`.
;; Stopped by: admission: only what its world may have is there to be imported.

(import "wasi:sockets/instance-network@0.2.6" "instance-network" (func $wanted (result i32)))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (drop (call $wanted))
  (call $scores (local.get $docs)))
