;; world: scorer
;; parts: memory realloc manifest answer
;; Tries: to answer fewer scores than there are texts.
;; Stopped by: the conversion: the length must be right.

(func (export "score")
  (param $query i32) (param $query_length i32) (param $texts i32) (param $text_count i32)
  (param $params i32) (param $param_count i32) (result i32)
  (call $ok (i32.const 2048) (i32.sub (local.get $text_count) (i32.const 1))))
