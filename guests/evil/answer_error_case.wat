;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to answer an error that the ABI does not have: case 200 of four.
;; Stopped by: the lifting: an unknown case.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (drop (call $failed (i32.const 1024) (i32.const 0)))
  (i32.store (i32.const 132) (i32.const 200))
  (i32.const 128))
