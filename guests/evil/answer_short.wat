;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to answer one score less than there are handles.
;; Stopped by: the conversion: the length must be right.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $scores (i32.sub (local.get $docs) (i32.const 1))))
