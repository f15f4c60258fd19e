;; world: decomposer
;; parts: memory realloc manifest answer
;; Tries: to answer an empty sub-query.
;; Stopped by: the conversion: each a non-empty string.

(data (i32.const 2048) "\00\04\00\00\00\00\00\00")

(func (export "decompose")
  (param $query i32) (param $query_length i32) (param $limited i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (call $ok (i32.const 2048) (i32.const 1)))
