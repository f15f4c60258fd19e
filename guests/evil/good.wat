;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: nothing: the neighbour that must not notice.
;; Stopped by: nothing.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $scores (local.get $docs)))
