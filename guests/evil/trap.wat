;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to trap at once; over and over, a storm.
;; Stopped by: the call fails; the breaker takes it out after some in a row.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  unreachable)
