;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to answer positive infinity.
;; Stopped by: the conversion: scores must be finite, or negative infinity.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (drop (call $scores (local.get $docs)))
  (f64.store (i32.load (i32.const 132)) (f64.const inf))
  (i32.const 128))
