;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to answer neither `ok` nor `err`: case 7 of two.
;; Stopped by: the lifting: an unknown case.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (i32.store (i32.const 128) (i32.const 7))
  (i32.const 128))
