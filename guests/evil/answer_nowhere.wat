;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to answer with a pointer to an answer that lies outside its memory.
;; Stopped by: the bounds check of the lifting.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (i32.const -16))
