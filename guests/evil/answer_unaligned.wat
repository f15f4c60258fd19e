;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to answer a list at an odd address.
;; Stopped by: the alignment check of the lifting.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $ok (i32.const 1025) (local.get $docs)))
