;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to declare a table of ten million elements from the start.
;; Stopped by: `table_elements`, at admission.

(table $t 10000000 funcref)

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $scores (local.get $docs)))
