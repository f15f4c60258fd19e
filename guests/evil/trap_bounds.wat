;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to read 4 GiB past its memory, into whoever lies there.
;; Stopped by: guard pages: a trap.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (drop (i32.load offset=0xffffffff (i32.const -1)))
  unreachable)
