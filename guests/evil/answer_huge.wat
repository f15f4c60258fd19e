;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to answer 6 million scores, 48 MiB.
;; Stopped by: `output_bytes`: the host does not copy it.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $ok
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 48000000))
    (i32.const 6000000)))
