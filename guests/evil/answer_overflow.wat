;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to answer a list whose size in bytes overflows 32 bits: 2^29 + 2 scores of 8 bytes seem
;;   to be 16 bytes.
;; Stopped by: the bounds check of the lifting, in 64 bits.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $ok (i32.const 1024) (i32.const 0x20000002)))
